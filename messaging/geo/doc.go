// Package geo knows the country of a telephone number, and so whether a text message may be
// sent there: by default only to the countries that our own numbers are from. What is sent
// abroad costs many times as much, and those who make others send it live on that.
//
//	g, err := geo.New([]string{"CA", "GB"})
//	if v := g.Ask(from, to); !v.OK {
//		// v.Country and v.Name say where the number is
//	}
//
// The country is read from the calling code and, where several countries share the code 1,
// from the area code: no parsing, no allocation, no I/O. A Gate may be used by many
// goroutines.
package geo
