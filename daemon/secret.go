package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"unicode"

	"github.com/signpost-sms/signpost/relay"
)

// maxSecretBytes bounds a file with a secret. A JWT takes some kilobytes.
const maxSecretBytes = 64 << 10

// secretKey is a way to give one secret: a key that holds it or a key that names its file.
type secretKey struct {
	key    string
	file   bool
	value  *string // what the key was set to
	target *relay.Secret
}

// secretGroup is a secret and all ways to give it.
type secretGroup struct {
	what       string
	platform   bool // it is for the session
	ways       []secretKey
	credential map[string]string // file in $CREDENTIALS_DIRECTORY, by the key that it gives
}

func (l *loader) secretGroups() []secretGroup {
	sw, http := &l.cfg.SignalWire, &l.cfg.HTTP
	return []secretGroup{
		{
			what:     "the credentials",
			platform: true,
			ways: []secretKey{
				{"signalwire.token", false, (*string)(&sw.Token), &sw.Token},
				{"signalwire.token_file", true, &sw.TokenFile, &sw.Token},
				{"signalwire.jwt", false, (*string)(&sw.JWT), &sw.JWT},
				{"signalwire.jwt_file", true, &sw.JWTFile, &sw.JWT},
			},
			credential: map[string]string{"signalwire.token": "token", "signalwire.jwt": "jwt"},
		},
		{
			what: "the token of the local HTTP API",
			ways: []secretKey{
				{"http.token", false, (*string)(&http.Token), &http.Token},
				{"http.token_file", true, &http.TokenFile, &http.Token},
			},
			credential: map[string]string{"http.token": "http-token"},
		},
	}
}

// resolveSecrets decides which of the ways to give a secret counts, and reads its file. The
// highest layer wins: a token in the environment replaces a token_file in the configuration.
// Two ways in one layer are an error, since nobody could tell which one counts.
func (l *loader) resolveSecrets() {
	for _, group := range l.secretGroups() {
		if group.platform && l.src.NoCredentials {
			continue // a file that only the daemon may read is no trouble of who asks it
		}
		l.readCredentials(group)
		l.resolveSecret(group)
	}
}

// readCredentials takes what systemd's LoadCredential= has put into $CREDENTIALS_DIRECTORY.
func (l *loader) readCredentials(group secretGroup) {
	dir := l.env["CREDENTIALS_DIRECTORY"]
	if dir == "" {
		return
	}
	for _, way := range group.ways {
		name, ok := group.credential[way.key]
		if !ok || *way.value != "" && l.settings[way.key].layer > layerSystemd {
			continue
		}
		path := filepath.Join(dir, name)
		place := Place{Env: "CREDENTIALS_DIRECTORY"}
		text, _, err := l.read(path, maxSecretBytes)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			l.report(Finding{SeverityError, place, "unreadable-file", way.key, fmt.Sprintf("the credential %s cannot be read: %v", name, reason(err)), "check LoadCredential= in the unit"})
		default:
			*way.value = l.secretIn(text, place, way.key, path)
		}
		l.settings[way.key] = setting{place, layerSystemd}
	}
}

func (l *loader) resolveSecret(group secretGroup) {
	var used []secretKey
	top := layerDefault
	for _, way := range group.ways {
		if *way.value == "" {
			continue
		}
		if at := l.settings[way.key].layer; at > top {
			top, used = at, nil
		}
		if l.settings[way.key].layer == top {
			used = append(used, way)
		}
	}
	for _, way := range group.ways {
		if *way.value != "" && l.settings[way.key].layer < top {
			*way.value = ""
		}
	}
	if len(used) > 1 {
		for _, way := range used[1:] {
			l.errorAt(way.key, "secret-conflict",
				fmt.Sprintf("%s: given twice, by %s and by %s", group.what, used[0].key, way.key), "keep one of the two")
		}
		return
	}
	for _, way := range used {
		if way.file {
			if secret := l.secretFile(way.key, *way.value); secret != "" {
				*way.target = relay.Secret(secret)
			}
			continue
		}
		l.checkSecret(way.key, *way.value)
	}
}

// checkSecret finds secrets that cannot be right.
func (l *loader) checkSecret(key, secret string) {
	if strings.ContainsFunc(secret, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		l.errorAt(key, "bad-secret", lastOf(key)+" has spaces or line breaks in it", "copy it again; a secret is one word")
	}
}

// secretFile reads the secret in the file that a key names; empty after a finding.
func (l *loader) secretFile(key, name string) string {
	path := l.path(key, name)
	text, mode, err := l.read(path, maxSecretBytes)
	if err != nil {
		// The name is not repeated: it may be the secret, pasted into the wrong key.
		where := ""
		if dir := filepath.Dir(path); path != name && dir != "." {
			where = " (relative to " + quote(dir) + ")"
		}
		l.errorAt(key, "unreadable-file", fmt.Sprintf("%s%s: %v", lastOf(key), where, reason(err)),
			"name a readable file that holds nothing but the secret; the secret itself belongs into "+strings.TrimSuffix(key, "_file"))
		return ""
	}
	if mode.Perm()&0o004 != 0 && runtime.GOOS != "windows" {
		l.warnAt(key, "secret-readable", fmt.Sprintf("every user of this machine can read %s", quote(path)), "run chmod 600 on it")
	}
	return l.secretIn(text, l.placeOf(key), key, path)
}

// secretIn takes the secret out of a file's text; empty after a finding.
func (l *loader) secretIn(text []byte, p Place, key, path string) string {
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		l.report(Finding{SeverityError, p, "bad-secret", key, fmt.Sprintf("the file %s is empty", quote(path)), "write the secret into it"})
		return ""
	}
	if strings.ContainsFunc(secret, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		l.report(Finding{SeverityError, p, "bad-secret", key, fmt.Sprintf("the file %s holds more than one word", quote(path)), "leave nothing in it but the secret"})
		return ""
	}
	return secret
}

// path is where the file is that a key names. A relative path in the configuration is
// relative to the folder of the configuration, anywhere else to where we are.
func (l *loader) path(key, name string) string {
	if filepath.IsAbs(name) || l.src.Path == "" || l.settings[key].layer != layerFile {
		return name
	}
	return filepath.Join(filepath.Dir(l.src.Path), name)
}

var errTooLarge = errors.New("it is too large")

var errIsDirectory = errors.New("it is a directory")

// read reads a file of at most limit bytes.
func (l *loader) read(path string, limit int64) ([]byte, fs.FileMode, error) {
	f, err := l.src.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if info.IsDir() {
		return nil, 0, errIsDirectory
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = errTooLarge
	}
	return text, info.Mode(), err
}

// reason is why a file could not be read, without its name.
func reason(err error) error {
	var path *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such file")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("we have no permission to read it")
	case errors.As(err, &path):
		return path.Err
	}
	return err
}
