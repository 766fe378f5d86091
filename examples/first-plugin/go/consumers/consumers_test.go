package consumers

import "testing"

func TestAKnownKeyStandsForItsConsumerAndNothingElseDoes(t *testing.T) {
	if err := Configure(`{"keys": {"alice": "alice-key-0001", "bob": "bob-key-00002"}}`); err != nil {
		t.Fatal(err)
	}
	for value, expected := range map[string]string{
		"Bearer alice-key-0001": "alice",
		"bearer bob-key-00002":  "bob",
		"Bearer alice-key-0002": "",
		"Bearer ":               "",
		"Basic alice-key-0001":  "",
		"alice-key-0001":        "",
	} {
		if consumer, _ := Authenticate([]byte(value)); consumer != expected {
			t.Errorf("%q: expected %q, got %q", value, expected, consumer)
		}
	}
}
