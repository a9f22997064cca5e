package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/jeantrail/jeantrail-ai"
)

// wirePrice is a row of /prices. The pointers are units that are set.
type wirePrice struct {
	Model     string           `json:"model,omitempty"`
	Kind      string           `json:"kind"`
	ValidFrom string           `json:"valid_from,omitempty"`
	Prompt    *jeantrail.Money `json:"prompt_token_micros,omitempty"`
	Cached    *jeantrail.Money `json:"cached_token_micros,omitempty"`
	Output    *jeantrail.Money `json:"completion_token_micros,omitempty"`
	Image     *jeantrail.Money `json:"image_micros,omitempty"`
	AudioIn   *jeantrail.Money `json:"audio_in_second_micros,omitempty"`
	AudioOut  *jeantrail.Money `json:"audio_out_second_micros,omitempty"`
}

func newPriceCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "price", Short: "See and set what work costs", Args: args(cobra.NoArgs)}
	cmd.AddCommand(newPriceListCommand(o), newPriceSetCommand(o))
	return cmd
}

func newPriceListCommand(o *options) *cobra.Command {
	return o.jsonFlag(&cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the prices in force, in dollars", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listing(cmd, o, "/prices", "prices", func(w io.Writer, prices []wirePrice) {
				t := newTable(w, "MODEL", "KIND", "PROMPT TOKEN", "CACHED", "COMPLETION", "IMAGE", "SECOND IN", "SECOND OUT", "SINCE")
				for _, p := range prices {
					t.AppendRow(table.Row{p.Model, p.Kind, price(p.Prompt), price(p.Cached), price(p.Output), price(p.Image),
						price(p.AudioIn), price(p.AudioOut), orDash(&p.ValidFrom)})
				}
				t.Render()
			})
		},
	})
}

// price writes what a unit costs, "-" if nothing.
func price(m *jeantrail.Money) string {
	if m == nil || *m == 0 {
		return "-"
	}
	return amount(*m)
}

// priceUnit is a unit of work that a flag prices.
type priceUnit struct {
	flag, usage string
	text        string // what the flag was given
	of          func(*wirePrice) **jeantrail.Money
}

func priceUnits() []priceUnit {
	return []priceUnit{
		{flag: "prompt", usage: "a prompt token", of: func(p *wirePrice) **jeantrail.Money { return &p.Prompt }},
		{flag: "cached", usage: "a prompt token that the KV cache had", of: func(p *wirePrice) **jeantrail.Money { return &p.Cached }},
		{flag: "completion", usage: "a token of the answer", of: func(p *wirePrice) **jeantrail.Money { return &p.Output }},
		{flag: "image", usage: "an image", of: func(p *wirePrice) **jeantrail.Money { return &p.Image }},
		{flag: "audio-in", usage: "a second of audio that is heard", of: func(p *wirePrice) **jeantrail.Money { return &p.AudioIn }},
		{flag: "audio-out", usage: "a second of audio that is made", of: func(p *wirePrice) **jeantrail.Money { return &p.AudioOut }},
	}
}

// given reads the flags that were given; there must be one.
func given(cmd *cobra.Command, units []priceUnit) (wirePrice, error) {
	var p wirePrice
	n := 0
	for i := range units {
		if u := &units[i]; cmd.Flags().Changed(u.flag) {
			m, err := dollars("--"+u.flag, u.text)
			if err != nil {
				return p, err
			}
			*u.of(&p), n = &m, n+1
		}
	}
	if n == 0 {
		return p, errUsage{errors.New("no price is given; use --prompt, --cached, --completion, --image, --audio-in or --audio-out")}
	}
	return p, nil
}

func newPriceSetCommand(o *options) *cobra.Command {
	var kind, from string
	units := priceUnits()
	cmd := &cobra.Command{
		Use: "set MODEL", Short: "Set what a model's work costs, in dollars; '*' is every model without a price of its own",
		Long: "Sets prices in dollars with up to six decimals. Units that are not named keep the price in force, that\n" +
			"of the model or else that of '*'. Jobs that were admitted before keep the price that they had.",
		Example: "  jeantrail-ai price set builtin --prompt 0.000001 --completion 0.000002\n  jeantrail-ai price set '*' --kind image --image 0.05",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			change, err := given(cmd, units)
			if err != nil {
				return err
			}
			return withRecords(cmd.Context(), o, func(s *Session) error {
				p, err := priceInForce(cmd, s, a[0], kind)
				if err != nil {
					return err
				}
				p.Model, p.Kind, p.ValidFrom = "", kind, from
				for _, u := range units {
					if m := *u.of(&change); m != nil {
						*u.of(p) = m
					}
				}
				return setPrice(cmd, o, s, a[0], p)
			})
		},
	}
	for i := range units {
		cmd.Flags().StringVar(&units[i].text, units[i].flag, "", "dollars for "+units[i].usage)
	}
	cmd.Flags().StringVar(&kind, "kind", string(jeantrail.KindText), "text, image, transcribe, speak or pipeline")
	cmd.Flags().StringVar(&from, "from", "", "when it begins to hold, as 2006-01-02T15:04:05Z (default: now)")
	return o.jsonFlag(cmd)
}

func setPrice(cmd *cobra.Command, o *options, s *Session, model string, p *wirePrice) error {
	var set wirePrice
	if err := s.send(cmd.Context(), http.MethodPut, "/prices/"+url.PathEscape(model), p, &set); err != nil {
		return err
	}
	if o.json {
		return printJSON(cmd.OutOrStdout(), set)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s (%s) costs from %s on: prompt token %s, cached %s, completion token %s, image %s, second of audio in %s, out %s\n",
		set.Model, set.Kind, set.ValidFrom, price(set.Prompt), price(set.Cached), price(set.Output), price(set.Image), price(set.AudioIn), price(set.AudioOut))
	return err
}

// priceInForce is the price that a model has now: its own, or that of all.
func priceInForce(cmd *cobra.Command, s *Session, model, kind string) (*wirePrice, error) {
	var list struct {
		Prices []wirePrice `json:"prices"`
	}
	if err := s.get(cmd.Context(), http.MethodGet, "/prices", &list); err != nil {
		return nil, err
	}
	found := &wirePrice{}
	for i := range list.Prices {
		p := &list.Prices[i]
		if p.Kind != kind || p.Model != model && p.Model != jeantrail.AnyModel {
			continue
		}
		if found = p; p.Model == model {
			break
		}
	}
	return found, nil
}

// dollars reads an amount that a flag gives, exactly.
func dollars(flag, text string) (jeantrail.Money, error) {
	m, err := jeantrail.ParseUSD(trimDollar(text))
	switch {
	case err != nil:
		return 0, errUsage{fmt.Errorf("%s: %w", flag, err)}
	case m < 0:
		return 0, errUsage{fmt.Errorf("%s is %s, it must not be negative", flag, m)}
	}
	return m, nil
}
