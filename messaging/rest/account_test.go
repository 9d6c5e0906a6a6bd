package rest

import (
	"fmt"
	"iter"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func collect[T any](t *testing.T, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

func TestAccount(t *testing.T) {
	t.Parallel()
	const campaign = `{"id":"c1","name":"Reminders","state":"active","sms_use_case":"MIXED","sub_use_cases":["2FA"],"campaign_verify_token":null,"description":"D",
		"sample1":"One","sample2":"Two","sample3":null,"sample4":"","sample5":null,"message_flow":"F","opt_in_message":"In","opt_out_message":"Out","help_message":"Help",
		"embedded_link":true,"embedded_phone":false,"created_at":"2026-11-23T14:05:06Z"}`
	answers := map[string]string{
		"/api/relay/rest/phone_numbers?page_size=100": `{"links":{"next":"https://x.signalwire.com/api/relay/rest/phone_numbers?page_number=1&page_size=100&page_token=PA1"},"data":[
			{"id":"n1","number":"+12025550199","name":null,"capabilities":["voice","sms","mms"],"number_type":"longcode","message_handler":"relay_topic","message_relay_topic":"support","message_relay_application":null},
			{"id":"n2","number":"+12025550198","name":"Old","capabilities":[],"number_type":"toll-free","message_handler":"relay_context","message_relay_context":"sales"}]}`,
		"/api/relay/rest/phone_numbers?page_number=1&page_size=100&page_token=PA1": `{"links":{},"data":[
			{"id":"n3","number":"+12025550197","capabilities":["sms"],"message_handler":"relay_application","message_relay_application":"billing"},
			{"id":"n4","number":"+12025550196","capabilities":["sms"],"message_handler":"laml_webhooks","message_request_url":"https://w.example/","message_relay_topic":"left over"}]}`,
		"/api/relay/rest/registry/beta/brands?page_size=100":               `{"links":{},"data":[{"id":"b1","state":"completed","name":"Acme","company_name":"Acme Inc."}]}`,
		"/api/relay/rest/registry/beta/brands/b1/campaigns?page_size=100":  `{"links":{},"data":[` + campaign + `]}`,
		"/api/relay/rest/registry/beta/campaigns/c1":                       campaign,
		"/api/relay/rest/registry/beta/campaigns/c1/numbers?page_size=100": `{"links":{},"data":[{"id":"a1","state":"active","phone_number":{"id":"n1","number":"+12025550199"}},{"id":"a2","state":"pending","phone_number":"+12025550198"},{"id":"a3","state":"x","phone_number":null}]}`,
		"/api/relay/rest/registry/beta/campaigns/c1/orders?page_size=100":  `{"links":{},"data":[{"id":"o1","state":"processed"}]}`,
	}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, ok := answers[r.RequestURI]
		if !ok || r.Method != "GET" {
			t.Errorf("asked for %s %s", r.Method, r.RequestURI)
		}
		fmt.Fprint(w, body)
	})
	ctx := t.Context()
	var contexts []string
	numbers := collect(t, c.PhoneNumbers(ctx))
	for _, n := range numbers {
		contexts = append(contexts, n.Number[len(n.Number)-2:]+n.Context())
	}
	if s := strings.Join(contexts, " "); s != "99support 98sales 97billing 96" {
		t.Errorf("contexts: got %q", s)
	}
	if len(numbers) == 4 && (numbers[0].Type != "longcode" || len(numbers[0].Capabilities) != 3 || numbers[3].MessageRequestURL == "" || numbers[1].Name != "Old") {
		t.Errorf("numbers: got %+v", numbers)
	}
	wantCampaign := Campaign{
		ID: "c1", Name: "Reminders", State: "active", UseCase: "MIXED", Description: "D", MessageFlow: "F", Samples: []string{"One", "Two"},
		OptInMessage: "In", OptOutMessage: "Out", HelpMessage: "Help", EmbeddedLink: true,
	}
	one, err := c.Campaign(ctx, "c1")
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]string{
		"brands":    cmp.Diff([]Brand{{"b1", "Acme", "completed", "Acme Inc."}}, collect(t, c.Brands(ctx))),
		"campaigns": cmp.Diff([]Campaign{wantCampaign}, collect(t, c.Campaigns(ctx, "b1"))),
		"campaign":  cmp.Diff(&wantCampaign, one),
		"numbers":   cmp.Diff([]Assignment{{"a1", "active", "+12025550199"}, {"a2", "pending", "+12025550198"}, {"a3", "x", ""}}, collect(t, c.CampaignNumbers(ctx, "c1"))),
		"orders":    cmp.Diff([]Order{{"o1", "processed"}}, collect(t, c.CampaignOrders(ctx, "c1"))),
	} {
		if d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if _, err := c.Campaign(ctx, ""); err == nil {
		t.Error("no campaign id: got no error")
	}
	for _, err := range c.Campaigns(ctx, "..") {
		if err == nil {
			t.Error("a brand id of dots: got no error")
		}
	}
}
