// Package texts has named templates of text messages, with variants in other languages, and
// fills them in.
//
//	set, problems := texts.NewSet("Cedar Dental", map[string]texts.Definition{"appointment": {
//		Text:    "Hi {{.name}}, your appointment is on {{.date}}.",
//		Locales: map[string]string{"es": "Hola {{.name}}, su cita es el {{.date}}."},
//		Footer:  "Reply STOP to opt out.",
//	}})
//	out, err := set.Template("appointment").Render("es-MX", map[string]string{"name": "Ana", "date": "20/1"})
//
// Its one guarantee: what comes out is whole. A variable that the text needs and nobody gave
// is an error and never a gap, and a text that is longer than it may be is one and never cut.
// What is filled in is data: it is copied into the text and never parsed.
//
// There is no I/O and no state. A Set and its templates may be used by many goroutines.
package texts
