package pick

import (
	"encoding/json"
	"testing"
)

func members(data string) (map[string]string, bool) {
	got := map[string]string{}
	o := In([]byte(data))
	for {
		key, value, ok := o.Next()
		if !ok {
			return got, o.Bad()
		}
		got[string(key)] = string(value)
	}
}

func TestMembersInAnyShape(t *testing.T) {
	t.Parallel()
	got, bad := members(" {\n\"a\" : \"x\\\"},{\" ,\"b\":[1,{\"c\":\"]\"}], \"d\":{\"e\":null},\"f\":-1.5e3 ,\"g\":\"\\\\\",\"h\":true}")
	want := map[string]string{
		"a": `"x\"},{"`, "b": `[1,{"c":"]"}]`, "d": `{"e":null}`, "f": "-1.5e3", "g": `"\\"`, "h": "true",
	}
	if bad {
		t.Error("a well-formed object is called bad")
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("member %s: got %q, want %q", key, got[key], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d members, want %d", len(got), len(want))
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "[1]", "7", `{"a"`, `{"a":`, `{"a":"x`, `{"a":{"b":1}`, `{a:1}`, `{"a":,}`, `{"a":1`} {
		if _, bad := members(data); !bad {
			t.Errorf("%q is not called bad", data)
		}
	}
}

func FuzzIn(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":"x","result":{"code":"200"}}`))
	f.Add([]byte(`{"a":"\\\"","b":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var want map[string]json.RawMessage
		valid := json.Unmarshal(data, &want) == nil && want != nil
		got, bad := members(string(data))
		if !valid {
			return // only termination and bounds are promised
		}
		if bad {
			t.Fatalf("valid object %q is called bad", data)
		}
		if len(got) != len(want) {
			return // a key with an escape and its plain spelling are two members here and one there
		}
		for key, value := range want {
			if raw, plain := got[key]; plain && raw != string(value) {
				t.Errorf("member %q of %q: got %q, want %q", key, data, raw, value)
			}
		}
	})
}
