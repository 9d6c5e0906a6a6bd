package daemon

import (
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/loop"
	"github.com/signpost-sms/signpost/relay"
)

// Config is the whole configuration of a daemon. Get one from [LoadConfig], or begin with
// [DefaultConfig] and set what differs: the zero value is not usable.
//
// A Config prints itself as its settings with every secret as a placeholder and every phone
// number masked, whatever the verb or encoding. It is read-only once a daemon has it.
//
// In struct tags, range bounds a value (a side may be open), reload marks what takes effect
// without a restart, and keep marks a text for which an empty environment variable is a
// value rather than an unset one.
type Config struct {
	SignalWire SignalWireConfig `yaml:"signalwire"`
	Relay      RelayConfig      `yaml:"relay"`
	Store      StoreURL         `yaml:"store"`
	HTTP       HTTPConfig       `yaml:"http"`
	Log        LogConfig        `yaml:"log"`
	Brand      string           `yaml:"brand" reload:"yes" keep:"yes"` // named in consent and help texts
	// Templates are texts by their names, for handlers and sends to refer to.
	Templates  map[string]TemplateConfig `yaml:"templates" reload:"yes"`
	Contexts   map[string]ContextConfig  `yaml:"contexts" reload:"yes"` // by name: opaque, case-sensitive
	Handling   HandlingConfig            `yaml:"handling"`
	Sending    SendingConfig             `yaml:"sending"`
	Callbacks  CallbacksConfig           `yaml:"callbacks"`
	Consent    ConsentConfig             `yaml:"consent"`
	QuietHours QuietHoursConfig          `yaml:"quiet_hours" reload:"yes"`
	Media      MediaConfig               `yaml:"media"`
	Retention  RetentionConfig           `yaml:"retention"`
	Shutdown   ShutdownConfig            `yaml:"shutdown"`
	// DedupeFor is how far back a message that the platform delivers again is recognised.
	DedupeFor time.Duration `yaml:"dedupe_for" range:"1h.."`

	registry *registry // what the handlers of Contexts are built with
}

// SignalWireConfig says who we are to the platform.
type SignalWireConfig struct {
	// Space is a host such as example.signalwire.com, or an http(s):// URL. Only REST needs
	// it; see [SignalWireConfig.SpaceURL].
	Space   string `yaml:"space"`
	Project string `yaml:"project"` // the project id
	// Token is the project's API token, wherever it came from: the file, TokenFile, the
	// environment or systemd. JWT is used instead of it. One of the two is set.
	Token     relay.Secret `yaml:"token"`
	TokenFile string       `yaml:"token_file"`
	JWT       relay.Secret `yaml:"jwt"`
	JWTFile   string       `yaml:"jwt_file"`
}

// SpaceURL is the base of the REST API, without a slash at its end; empty without a space.
// A bare name such as "example" means example.signalwire.com.
func (c SignalWireConfig) SpaceURL() string {
	space := strings.TrimRight(c.Space, "/")
	if space == "" {
		return ""
	}
	if strings.Contains(space, "://") {
		return space
	}
	if !strings.ContainsAny(space, ".:") && !strings.EqualFold(space, "localhost") {
		space += ".signalwire.com"
	}
	return "https://" + space
}

// RelayConfig says where the Relay session goes.
type RelayConfig struct {
	URL      string `yaml:"url"`
	Insecure bool   `yaml:"insecure"` // ws:// and http:// to other machines are accepted
	CAFile   string `yaml:"ca_file"`  // PEM; trusted in addition to the system's certificates
}

// StoreURL names the journal: memory:, sqlite:///path or postgres://host/name. It may hold a
// password, so that it prints as scheme, host and path only; Reveal gives all of it.
type StoreURL string

// Reveal returns the URL with everything in it. It must not be logged.
func (s StoreURL) Reveal() string { return string(s) }

// Scheme is what stands before the colon: memory, sqlite, postgres.
func (s StoreURL) Scheme() string {
	scheme, _, _ := strings.Cut(string(s), ":")
	return strings.ToLower(scheme)
}

// String is the URL without credentials and parameters.
func (s StoreURL) String() string {
	u, err := url.Parse(string(s))
	if err != nil {
		return "[redacted]" // what cannot be taken apart cannot be shown in part
	}
	u.User, u.RawQuery, u.Fragment, u.RawFragment, u.ForceQuery = nil, "", "", "", false
	return u.String()
}

// GoString is String.
func (s StoreURL) GoString() string { return s.String() }

// LogValue is String.
func (s StoreURL) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String.
func (s StoreURL) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// HTTPConfig is the local HTTP side: probes, metrics, the API.
type HTTPConfig struct {
	Listen string `yaml:"listen" keep:"yes"` // host:port; empty turns it off
	// Token guards the API. It is required where other machines can reach Listen.
	Token     relay.Secret `yaml:"token"`
	TokenFile string       `yaml:"token_file"`
}

// LogConfig says what is logged and how.
type LogConfig struct {
	Level  slog.Level `yaml:"level" reload:"yes"`
	Format LogFormat  `yaml:"format"`
}

// LogFormat is how log records are written.
type LogFormat string

// The log formats.
const (
	LogAuto LogFormat = "auto" // text at a terminal, else JSON
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

func (LogFormat) choices() []string { return []string{"auto", "json", "text"} }

// ContextConfig is what one context does.
type ContextConfig struct {
	Handlers []HandlerConfig `yaml:"handlers"`  // for messages, in order
	States   []HandlerConfig `yaml:"states"`    // for the delivery states of what the context sent
	OptedOut OptedOut        `yaml:"opted_out"` // what happens to messages of people who opted out
}

// HandlingConfig bounds the handlers.
type HandlingConfig struct {
	Timeout     time.Duration `yaml:"timeout" range:"100ms..1h"` // when a handler's context ends
	Concurrency int           `yaml:"concurrency" range:"1..10000"`
	Attempts    int           `yaml:"attempts" range:"1..100"` // of a failing event, then it is a dead letter
	GiveUp      time.Duration `yaml:"give_up" range:"1s..72h"` // or this long after the first, whichever comes first
}

// SendingConfig rules what leaves.
type SendingConfig struct {
	// Limits off means: no pace, daily caps, budget or loop breaker, for load tests. It never
	// touches consent, frequency caps, quiet hours or expiry.
	Limits  bool          `yaml:"limits" reload:"yes"`
	InDoubt InDoubtConfig `yaml:"in_doubt"`
	// ReplyExpires is how long a reply is worth sending.
	ReplyExpires time.Duration `yaml:"reply_expires" range:"1s..72h"`
	// ReplyWindow is for how long what the API sends to somebody who wrote is a reply.
	ReplyWindow time.Duration    `yaml:"reply_window" range:"0s..24h" reload:"yes"`
	Redeliver   RedeliverConfig  `yaml:"redeliver"`
	Numbers     []NumberConfig   `yaml:"numbers" reload:"yes"`
	Campaigns   []CampaignConfig `yaml:"campaigns" reload:"yes"`
	Rates       RatesConfig      `yaml:"rates" reload:"yes"`
	Budget      BudgetConfig     `yaml:"budget" reload:"yes"`
	Caps        []CapConfig      `yaml:"caps" reload:"yes"`
	// Countries are where messages may go besides the countries of our own numbers: ISO
	// codes of two letters, or "*".
	Countries  []string         `yaml:"countries" reload:"yes"`
	Duplicates DuplicatesConfig `yaml:"duplicates" reload:"yes"`
	// Replicas is how many daemons share the limits at least; each has its part of them.
	Replicas int `yaml:"replicas" range:"0..1000" reload:"yes"`
	// SmartEncoding and TrialPrefix say what the platform does to texts before it counts
	// their segments.
	SmartEncoding bool   `yaml:"smart_encoding" reload:"yes"`
	TrialPrefix   string `yaml:"trial_prefix" reload:"yes" keep:"yes"`
}

// RedeliverConfig says how often a text is sent whose delivery failed for a reason that may
// pass, such as a telephone that is off.
type RedeliverConfig struct {
	Attempts int           `yaml:"attempts" range:"1..10"` // in all; 1: never again
	Wait     time.Duration `yaml:"wait" range:"1s..24h"`   // before the next one
}

// InDoubtConfig says how the doubt about a send ends that may or may not have left.
type InDoubtConfig struct {
	Wait    time.Duration `yaml:"wait" range:"1s..24h"`    // before the message log is asked
	Settle  time.Duration `yaml:"settle" range:"1s..24h"`  // from when on absence from the log counts
	Release time.Duration `yaml:"release" range:"1s..72h"` // under hold: when the conversation goes on
	Then    DoubtPolicy   `yaml:"then"`                    // when nothing settled it
}

// DoubtPolicy is what happens to a send whose doubt nothing settled.
type DoubtPolicy string

// The doubt policies.
const (
	DoubtHold   DoubtPolicy = "hold"   // it is kept and shown, and not sent again
	DoubtResend DoubtPolicy = "resend" // it is sent again, and may arrive twice
)

func (DoubtPolicy) choices() []string { return []string{"hold", "resend"} }

// NumberConfig says what kind of number one of ours is.
type NumberConfig struct {
	Number   messaging.Number `yaml:"number"` // E.164, or a short code
	Class    NumberClass      `yaml:"class"`
	Campaign string           `yaml:"campaign"` // id of the one that it belongs to; or the campaign lists it
}

// NumberClass is the class of a number, which decides how fast it may send.
type NumberClass string

// The number classes. Empty means: by the number's own type, 10DLC if that is unknown.
const (
	ClassLocal     NumberClass = "local"
	Class10DLC     NumberClass = "10dlc"
	ClassTollFree  NumberClass = "tollfree"
	ClassShortCode NumberClass = "shortcode"
	ClassCanada    NumberClass = "canada"
)

func (NumberClass) choices() []string {
	return []string{"local", "10dlc", "tollfree", "shortcode", "canada"}
}

// RetentionConfig says how long the journal keeps what is finished. What is not finished is
// kept for as long as it takes.
type RetentionConfig struct {
	// Texts is when the texts and media URLs of finished messages are removed, counted from
	// their arrival. The rest of them, ids, numbers, times and outcomes, goes then too, but
	// not before DedupeFor has passed.
	Texts time.Duration `yaml:"texts" range:"1h.." reload:"yes"`
}

// ShutdownConfig bounds the stop.
type ShutdownConfig struct {
	// Budget is the time that a stop may take. An orchestrator kills after its own grace
	// period, 30 s in Kubernetes; the budget lies below it.
	Budget time.Duration `yaml:"budget" range:"1s..10m"`
}

// defaultStore is the journal of a configuration that names none.
const defaultStore StoreURL = "sqlite:///var/lib/signpost/signpost.db"

// DefaultConfig is the configuration of somebody who configured nothing: no credentials and
// no contexts, and the default of every other key.
func DefaultConfig() Config {
	return Config{
		Relay:    RelayConfig{URL: relay.DefaultURL},
		Store:    defaultStore,
		HTTP:     HTTPConfig{Listen: "127.0.0.1:8377"},
		Log:      LogConfig{Level: slog.LevelInfo, Format: LogAuto},
		Handling: HandlingConfig{Timeout: 30 * time.Second, Concurrency: 64, Attempts: 8, GiveUp: 10 * time.Minute},
		Sending: SendingConfig{
			Limits: true,
			InDoubt: InDoubtConfig{
				Wait:    60 * time.Second,
				Settle:  5 * time.Minute,
				Release: 10 * time.Minute,
				Then:    DoubtHold,
			},
			ReplyExpires: 60 * time.Minute,
			ReplyWindow:  60 * time.Minute,
			Redeliver:    RedeliverConfig{Attempts: 3, Wait: 60 * time.Second},
			Rates:        defaultRates(),
			Budget:       BudgetConfig{Zone: "UTC"},
			Caps:         defaultCaps(),
			Duplicates:   DuplicatesConfig{Window: loop.DuplicateWindow},
		},
		Consent:    defaultConsent(),
		QuietHours: QuietHoursConfig{Preset: QuietConservative, Ported: PortedTrust},
		Media:      defaultMedia(),
		Retention:  RetentionConfig{Texts: 30 * day},
		Shutdown:   ShutdownConfig{Budget: 25 * time.Second},
		DedupeFor:  7 * day,
	}
}

// ContextNames lists the configured contexts, sorted.
func (c *Config) ContextNames() []string { return slices.Sorted(maps.Keys(c.Contexts)) }
