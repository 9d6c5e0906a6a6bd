package messaging

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheGateHasNoSideDoor reads the source of the whole module: the name of the method that
// sends stands in one file, and that file alone calls the wire. The simulator, which is the
// other end of the wire, knows the name too.
func TestTheGateHasNoSideDoor(t *testing.T) {
	t.Parallel()
	const root, gate, simulator = "..", "../messaging/gate.go", "../relay/relaytest/"
	var names, calls []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != root):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go"), strings.HasSuffix(path, "_test.go"), strings.HasPrefix(path, simulator):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if n.Kind == token.STRING && n.Value == `"messaging.send"` {
					names = append(names, path)
				}
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Go" && len(n.Args) == 4 {
					calls = append(calls, path)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string][]string{"names messaging.send": names, "calls the wire": calls} {
		if len(got) != 1 || filepath.ToSlash(got[0]) != gate {
			t.Errorf("%s: %v, want %s once", what, got, gate)
		}
	}
}
