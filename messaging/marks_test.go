package messaging

import (
	"testing"
	"time"
)

// What a reading of a shared store did not see, since it came meanwhile, stays; what it saw
// is taken over.
func TestMarksChangeWhileTheyAreRead(t *testing.T) {
	t.Parallel()
	now := time.Now()
	key := func(theirs Number) string { return Conversation{"+12025550100", theirs}.Key() }
	question := func(theirs Number, name string) Value {
		q := Question{Name: name, AskedAt: now}
		return Value{Bucket: BucketQuestions, Key: key(theirs), Data: q.data(), ExpiresAt: now.Add(time.Hour)}
	}
	asked := func(v Value) *ValueChange {
		return &ValueChange{Bucket: v.Bucket, Key: v.Key, Data: v.Data, ExpiresAt: v.ExpiresAt, Applied: true}
	}
	ms := marks{during: map[string]bool{}}
	ms.changed(asked(question("+1", "new")))
	ms.changed(&ValueChange{Bucket: BucketQuestions, Key: key("+2"), Delete: true, Applied: true})
	old := question("+3", "old")
	ms.learn(&old)
	ms.relearn(&sharedMarks{
		keys:   []string{key("+1"), key("+2"), key("+3"), key("+4")},
		values: []Value{question("+2", "answered meanwhile"), question("+4", "another's")},
	}, ms.during)
	for theirs, want := range map[Number]string{"+1": "new", "+2": "", "+3": "", "+4": "another's"} {
		got := ""
		if q := ms.of[key(theirs)].question; q != nil {
			got = q.Name
		}
		if got != want {
			t.Errorf("%s has the question %q open, want %q", theirs, got, want)
		}
	}
}

// Marks take no more memory than they may, and no pause is forgotten for a question.
func TestMarksAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ms := marks{}
	pause := Value{Bucket: BucketPauses, Key: "paused", ExpiresAt: now.Add(time.Hour)}
	ms.learn(&pause)
	for i := range marksMost + 100 {
		q := Question{Name: "q", AskedAt: now}
		v := Value{Bucket: BucketQuestions, Key: string(rune(i + 0x10000)), Data: q.data(), ExpiresAt: now.Add(time.Hour)}
		ms.learn(&v)
	}
	if len(ms.of) != marksMost || ms.paused != 1 || ms.of["paused"].until.IsZero() {
		t.Errorf("%d marks are kept, %d pauses among them; want %d and 1", len(ms.of), ms.paused, marksMost)
	}
	ms.sweep(now.Add(2 * time.Hour))
	if len(ms.of) != 0 || ms.paused != 0 {
		t.Errorf("%d marks and %d pauses are left after they expired", len(ms.of), ms.paused)
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add([]byte("1700000000000 day"))
	f.Add([]byte(" "))
	f.Add([]byte("-1  x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		q := questionOf(&Value{Data: data})
		if q == nil {
			return
		}
		if again := questionOf(&Value{Data: q.data()}); again == nil || again.Name != q.Name || !again.AskedAt.Equal(q.AskedAt) {
			t.Fatalf("%q is read as %+v, and that again as %+v", data, q, again)
		}
	})
}
