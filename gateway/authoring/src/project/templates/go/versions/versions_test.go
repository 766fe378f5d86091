package versions

import "testing"

func TestAVersionIsFoundIfItIsServed(t *testing.T) {
	if err := Configure(`{"versions": ["v2", "v1"]}`); err != nil {
		t.Fatal(err)
	}
	if version, _ := First(); version != "v2" {
		t.Errorf("expected v2 for requests that name none, got %q", version)
	}
	for asked, expected := range map[string]bool{"v1": true, "v2": true, "v9": false, "": false, "V1": false} {
		if _, known := Find([]byte(asked)); known != expected {
			t.Errorf("%q: expected %t, got %t", asked, expected, known)
		}
	}
}
