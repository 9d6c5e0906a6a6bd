// Package kubetest decodes the Kubernetes manifests of a new project as strictly as a server
// does. It is a module of its own, so that what it needs stays out of the main one.
package kubetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/signpost-sms/signpost/daemon/internal/scaffold"
)

// decode reads one manifest into its type.
func decode(text string) (any, error) {
	var kind struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := yaml.Unmarshal([]byte(text), &kind); err != nil {
		return nil, err
	}
	types := map[string]any{"v1 Service": &corev1.Service{}, "apps/v1 StatefulSet": &appsv1.StatefulSet{}}
	into := types[kind.APIVersion+" "+kind.Kind]
	if into == nil {
		into = &struct{}{} // knows no field: an error that names the first
	}
	return into, yaml.UnmarshalStrict([]byte(text), into)
}

func TestManifestsAreValid(t *testing.T) {
	t.Parallel()
	p, err := scaffold.New(scaffold.Options{Dir: filepath.Join(t.TempDir(), "shop")})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(p.Dir, "deploy", "kubernetes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var set *appsv1.StatefulSet
	for doc := range strings.SplitSeq(string(text), "\n---\n") {
		v, err := decode(doc)
		if err != nil {
			t.Errorf("%v:\n%s", err, doc)
		}
		if s, ok := v.(*appsv1.StatefulSet); ok {
			set = s
		}
		if _, err := decode(doc + "\nspecs: {}\n"); err == nil {
			t.Error("an unknown field was not noticed")
		}
	}
	if set == nil {
		t.Fatal("there is no StatefulSet")
	}
	// What is right by type and wrong all the same.
	pod := set.Spec.Template
	for name, value := range set.Spec.Selector.MatchLabels {
		if pod.Labels[name] != value {
			t.Errorf("the selector does not find the pod: %s", name)
		}
	}
	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
	}
	for _, c := range set.Spec.VolumeClaimTemplates {
		volumes[c.Name] = true
	}
	c := pod.Spec.Containers[0]
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("there is no volume %q", m.Name)
		}
	}
	ports := map[string]bool{}
	for _, port := range c.Ports {
		ports[port.Name] = true
	}
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil || !ports[probe.HTTPGet.Port.String()] {
			t.Errorf("a probe has no port of the container: %+v", probe)
		}
	}
	if grace := pod.Spec.TerminationGracePeriodSeconds; grace == nil || *grace <= 25 {
		t.Error("a stop may be cut short: the grace period is not above shutdown.budget")
	}
}
