package rest

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// accountPages bounds the lists of an account; at 100 a page that is 10,000 of anything.
const accountPages = 100

// PhoneNumber is a number of the project, as far as messaging is concerned.
type PhoneNumber struct {
	ID           string
	Number       string
	Name         string
	Type         string // number_type, such as longcode or toll-free
	Capabilities []string

	// MessageHandler says where inbound messages go. To reach this program it must be
	// relay_topic with MessageTopic, or relay_application with MessageApplication; the
	// older relay_context with MessageContext still works.
	MessageHandler     string
	MessageTopic       string
	MessageApplication string
	MessageContext     string
	MessageRequestURL  string // of a webhook
}

// Context is the context (topic) to which the number's messages are bound, empty if its
// handler is none of Relay's.
func (n *PhoneNumber) Context() string {
	switch n.MessageHandler {
	case "relay_topic":
		return n.MessageTopic
	case "relay_application":
		return n.MessageApplication
	case "relay_context":
		return n.MessageContext
	}
	return ""
}

// UnmarshalJSON reads the platform's resource.
func (n *PhoneNumber) UnmarshalJSON(data []byte) error {
	var w struct {
		ID, Number, Name loose
		Type             loose    `json:"number_type"`
		Capabilities     []string `json:"capabilities"`
		Handler          loose    `json:"message_handler"`
		Topic            loose    `json:"message_relay_topic"`
		Application      loose    `json:"message_relay_application"`
		Context          loose    `json:"message_relay_context"`
		RequestURL       loose    `json:"message_request_url"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*n = PhoneNumber{
		ID: string(w.ID), Number: string(w.Number), Name: string(w.Name), Type: string(w.Type), Capabilities: w.Capabilities,
		MessageHandler: string(w.Handler), MessageTopic: string(w.Topic), MessageApplication: string(w.Application),
		MessageContext: string(w.Context), MessageRequestURL: string(w.RequestURL),
	}
	return nil
}

// Brand is a registered sender of the campaign registry.
type Brand struct {
	ID, Name, State, CompanyName string
}

// UnmarshalJSON reads the platform's resource.
func (b *Brand) UnmarshalJSON(data []byte) error {
	var w struct {
		ID, Name, State loose
		CompanyName     loose `json:"company_name"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*b = Brand{string(w.ID), string(w.Name), string(w.State), string(w.CompanyName)}
	return nil
}

// Campaign is a registered use of a brand's numbers.
type Campaign struct {
	ID, Name, State string
	UseCase         string // sms_use_case
	Description     string
	MessageFlow     string
	Samples         []string
	OptInMessage    string
	OptOutMessage   string
	HelpMessage     string
	EmbeddedLink    bool // texts may hold links
	EmbeddedPhone   bool // texts may hold telephone numbers
}

// UnmarshalJSON reads the platform's resource.
func (c *Campaign) UnmarshalJSON(data []byte) error {
	var w struct {
		ID, Name, State, Description                loose
		UseCase                                     loose `json:"sms_use_case"`
		MessageFlow                                 loose `json:"message_flow"`
		Sample1, Sample2, Sample3, Sample4, Sample5 loose
		OptInMessage                                loose `json:"opt_in_message"`
		OptOutMessage                               loose `json:"opt_out_message"`
		HelpMessage                                 loose `json:"help_message"`
		EmbeddedLink                                bool  `json:"embedded_link"`
		EmbeddedPhone                               bool  `json:"embedded_phone"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*c = Campaign{
		ID: string(w.ID), Name: string(w.Name), State: string(w.State), UseCase: string(w.UseCase), Description: string(w.Description),
		MessageFlow: string(w.MessageFlow), OptInMessage: string(w.OptInMessage), OptOutMessage: string(w.OptOutMessage),
		HelpMessage: string(w.HelpMessage), EmbeddedLink: w.EmbeddedLink, EmbeddedPhone: w.EmbeddedPhone,
	}
	for _, s := range []loose{w.Sample1, w.Sample2, w.Sample3, w.Sample4, w.Sample5} {
		if s != "" {
			c.Samples = append(c.Samples, string(s))
		}
	}
	return nil
}

// Assignment is a number that belongs to a campaign, or is about to.
type Assignment struct {
	ID     string
	State  string
	Number string // empty if the platform did not say
}

// UnmarshalJSON reads the platform's resource, whose number is a text or a resource.
func (a *Assignment) UnmarshalJSON(data []byte) error {
	var w struct {
		ID, State, Number loose
		Phone             json.RawMessage `json:"phone_number"`
	}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*a = Assignment{ID: string(w.ID), State: string(w.State), Number: string(w.Number)}
	var (
		text     string
		resource struct{ Number loose }
	)
	switch {
	case len(w.Phone) == 0:
	case json.Unmarshal(w.Phone, &text) == nil:
		if text != "" {
			a.Number = text
		}
	case json.Unmarshal(w.Phone, &resource) == nil && resource.Number != "":
		a.Number = string(resource.Number)
	}
	return nil
}

// Order is a request to bring numbers into a campaign.
type Order struct {
	ID, State string
}

// UnmarshalJSON reads the platform's resource.
func (o *Order) UnmarshalJSON(data []byte) error {
	var w struct{ ID, State loose }
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*o = Order{string(w.ID), string(w.State)}
	return nil
}

func account[T any](ctx context.Context, c *Client, action string, path ...string) iter.Seq2[T, error] {
	return pages[T](ctx, c, action, append([]string{"api", "relay", "rest"}, path...), url.Values{"page_size": {strconv.Itoa(100)}}, accountPages)
}

// below lists what belongs to a resource.
func below[T any](ctx context.Context, c *Client, action, collection, id, list string) iter.Seq2[T, error] {
	if _, err := one(action, id); err != nil {
		return func(yield func(T, error) bool) {
			var none T
			yield(none, err)
		}
	}
	return account[T](ctx, c, action, "registry", "beta", collection, id, list)
}

// PhoneNumbers iterates over the project's numbers. Like the other lists of an account it
// ends after the last one, or with an error.
func (c *Client) PhoneNumbers(ctx context.Context) iter.Seq2[PhoneNumber, error] {
	return account[PhoneNumber](ctx, c, "list the phone numbers", "phone_numbers")
}

// Brands iterates over the brands of the campaign registry.
func (c *Client) Brands(ctx context.Context) iter.Seq2[Brand, error] {
	return account[Brand](ctx, c, "list the brands", "registry", "beta", "brands")
}

// Campaigns iterates over the campaigns of a brand.
func (c *Client) Campaigns(ctx context.Context, brandID string) iter.Seq2[Campaign, error] {
	return below[Campaign](ctx, c, "list the campaigns", "brands", brandID, "campaigns")
}

// Campaign gives one campaign.
func (c *Client) Campaign(ctx context.Context, id string) (*Campaign, error) {
	const action = "read the campaign"
	path, err := one(action, id, "api", "relay", "rest", "registry", "beta", "campaigns")
	if err != nil {
		return nil, err
	}
	var out Campaign
	if err := c.do(ctx, &call{action: action, method: http.MethodGet, path: path}, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// CampaignNumbers iterates over the numbers of a campaign.
func (c *Client) CampaignNumbers(ctx context.Context, campaignID string) iter.Seq2[Assignment, error] {
	return below[Assignment](ctx, c, "list the campaign's numbers", "campaigns", campaignID, "numbers")
}

// CampaignOrders iterates over the orders of a campaign.
func (c *Client) CampaignOrders(ctx context.Context, campaignID string) iter.Seq2[Order, error] {
	return below[Order](ctx, c, "list the campaign's orders", "campaigns", campaignID, "orders")
}
