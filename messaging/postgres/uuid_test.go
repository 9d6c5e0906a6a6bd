package postgres

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// TestUUIDsGoAsBytes holds the driver to the short way: by itself it writes the text of an id
// and reads that again, without a word.
func TestUUIDsGoAsBytes(t *testing.T) {
	t.Parallel()
	m := pgtype.NewMap()
	registerUUID(m)
	id := uuid.MustParse("0190f3c1-7a2b-7c3d-8e4f-5a6b7c8d9e0f")
	for _, value := range []any{id, &id} {
		if _, ok := m.PlanEncode(pgtype.UUIDOID, pgtype.BinaryFormatCode, value).(encodeUUID); !ok {
			t.Errorf("%T is not written as its bytes", value)
		}
		got, err := m.Encode(pgtype.UUIDOID, pgtype.BinaryFormatCode, value, nil)
		if err != nil || string(got) != string(id[:]) {
			t.Errorf("%T is written as %x, %v", value, got, err)
		}
	}
	array, err := m.Encode(pgtype.UUIDArrayOID, pgtype.BinaryFormatCode, []*uuid.UUID{&id, nil}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var back []*uuid.UUID
	if err := m.Scan(pgtype.UUIDArrayOID, pgtype.BinaryFormatCode, array, &back); err != nil || len(back) != 2 || *back[0] != id || back[1] != nil {
		t.Errorf("an array came back as %v, %v", back, err)
	}
	var one uuid.UUID
	if err := m.Scan(pgtype.UUIDOID, pgtype.BinaryFormatCode, nil, &one); err == nil {
		t.Error("NULL was read into an id that cannot say so")
	}
}
