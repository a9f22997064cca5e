package server

import (
	"net/http"
	"time"

	"github.com/jeantrail/jeantrail-ai"
)

// budgetRequest is the body of POST /budgets.
type budgetRequest struct {
	UserID         *string `json:"user_id" nullable:"true" maxLength:"128" doc:"Whose jobs count; null is everybody together. It must be there."`
	BudgetType     *string `json:"budget_type" nullable:"false" enum:"daily,weekly,monthly,total,period" doc:"Days, weeks from Monday, calendar months, one window without an end, or the one from period_start to period_end. All UTC."`
	AmountCents    *int64  `json:"amount_cents" nullable:"false" minimum:"0" doc:"US cents for each window."`
	PeriodStart    *string `json:"period_start,omitempty" nullable:"true" format:"date" doc:"The first day; null is since ever."`
	PeriodEnd      *string `json:"period_end,omitempty" nullable:"true" format:"date" doc:"The day after the last; null is without end."`
	AlertThreshold *int    `json:"alert_threshold_percentage,omitempty" minimum:"1" maximum:"100" doc:"The share at which an alert is raised, beside the one at 100; 80 if left out."`
}

// budgetChange is the body of PATCH /budgets/{id}: what it leaves out stays.
type budgetChange struct {
	UserID         *string `json:"user_id,omitempty" nullable:"true" maxLength:"128"`
	BudgetType     *string `json:"budget_type,omitempty" enum:"daily,weekly,monthly,total,period"`
	AmountCents    *int64  `json:"amount_cents,omitempty" minimum:"0"`
	PeriodStart    *string `json:"period_start,omitempty" nullable:"true" format:"date"`
	PeriodEnd      *string `json:"period_end,omitempty" nullable:"true" format:"date"`
	AlertThreshold *int    `json:"alert_threshold_percentage,omitempty" minimum:"1" maximum:"100"`
}

// apply makes the change to a budget and checks what it has become. nulls are
// the fields that the body gives as null.
func (c *budgetChange) apply(b *jeantrail.Budget, nulls map[string]bool) error {
	if err := setUser(&b.UserID, c.UserID, nulls["user_id"]); err != nil {
		return err
	}
	if c.BudgetType != nil {
		b.Type = jeantrail.BudgetType(*c.BudgetType)
	}
	if c.AmountCents != nil {
		b.AmountCents = *c.AmountCents
	}
	if c.AlertThreshold != nil {
		b.AlertThreshold = *c.AlertThreshold
	}
	if err := setDay(&b.PeriodStart, "period_start", c.PeriodStart, nulls); err != nil {
		return err
	}
	if err := setDay(&b.PeriodEnd, "period_end", c.PeriodEnd, nulls); err != nil {
		return err
	}
	return b.Validate()
}

// setUser sets an owner: null is everybody, which no string says.
func setUser(user *string, value *string, null bool) error {
	switch {
	case null:
		*user = ""
	case value == nil:
	case *value == "":
		return jeantrail.Errorf(jeantrail.CodeInvalid, "user_id is empty").WithHint("Send null for everybody together.")
	default:
		*user = *value
	}
	return nil
}

func setDay(day *time.Time, name string, value *string, nulls map[string]bool) error {
	if nulls[name] {
		*day = time.Time{}
	}
	if value == nil {
		return nil
	}
	t, err := time.Parse(time.DateOnly, *value)
	if err != nil {
		return jeantrail.Errorf(jeantrail.CodeInvalid, "%s is %q, which is not a day", name, *value).
			WithHint("Use YYYY-MM-DD, for example 2006-01-02.")
	}
	*day = t
	return nil
}

// wireBudget is a budget and how it stands.
type wireBudget struct {
	ID             string  `json:"id"`
	UserID         *string `json:"user_id" doc:"null is everybody together."`
	BudgetType     string  `json:"budget_type" enum:"daily,weekly,monthly,total,period"`
	AmountCents    int64   `json:"amount_cents"`
	PeriodStart    *string `json:"period_start" format:"date" doc:"null is since ever."`
	PeriodEnd      *string `json:"period_end" format:"date" doc:"The day after the last; null is without end."`
	AlertThreshold int     `json:"alert_threshold_percentage"`
	CreatedAt      string  `json:"created_at" format:"date-time"`

	InForce         bool    `json:"in_force" doc:"false before period_start and from period_end on; the budget then stops nothing."`
	WindowStart     *string `json:"window_start" format:"date-time" doc:"Of the present window; null is since ever."`
	WindowEnd       *string `json:"window_end" format:"date-time" doc:"Not included; null is without end."`
	LimitMicros     int64   `json:"limit_micros" doc:"The amount in micro-dollars."`
	SpentMicros     int64   `json:"spent_micros" doc:"Charged to jobs that ended in the window."`
	ReservedMicros  int64   `json:"reserved_micros" doc:"Held for jobs that have not ended."`
	RemainingMicros int64   `json:"remaining_micros" doc:"Neither spent nor reserved."`
	UsedPercent     int64   `json:"used_percent" doc:"Spent and reserved, rounded down."`
}

type wireBudgets struct {
	Budgets []*wireBudget `json:"budgets" nullable:"false"`
}

func budgetOf(b *jeantrail.BudgetStanding, now time.Time) *wireBudget {
	_, inForce := b.Budget.Window(now)
	return &wireBudget{
		ID: b.ID, UserID: orNull(b.UserID), BudgetType: string(b.Type), AmountCents: b.AmountCents,
		PeriodStart: orNull(wireDay(b.PeriodStart)), PeriodEnd: orNull(wireDay(b.PeriodEnd)),
		AlertThreshold: b.AlertThreshold, CreatedAt: wireTime(b.CreatedAt), InForce: inForce,
		WindowStart: orNull(wireTime(b.Window.Start)), WindowEnd: orNull(wireTime(b.Window.End)),
		LimitMicros: int64(b.Limit()), SpentMicros: int64(b.Spent), ReservedMicros: int64(b.Reserved),
		RemainingMicros: int64(b.Remaining()), UsedPercent: b.UsedPercent(),
	}
}

// listBudgets serves GET /budgets.
func (s *Server) listBudgets(w http.ResponseWriter, r *http.Request) error {
	query, err := readQuery(r, "user_id")
	if err != nil {
		return err
	}
	list, err := s.opt.Money.Budgets(r.Context(), caller(r), query.Get("user_id"))
	if err != nil {
		return err
	}
	out := wireBudgets{Budgets: make([]*wireBudget, 0, len(list))}
	for i := range list {
		out.Budgets = append(out.Budgets, budgetOf(&list[i], s.opt.Clock()))
	}
	return writeJSON(w, http.StatusOK, &out)
}

// getBudget serves GET /budgets/{id}.
func (s *Server) getBudget(w http.ResponseWriter, r *http.Request) error {
	b, err := s.opt.Money.Budget(r.Context(), caller(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, budgetOf(b, s.opt.Clock()))
}

// addBudget serves POST /budgets.
func (s *Server) addBudget(w http.ResponseWriter, r *http.Request) error {
	var body budgetRequest
	nulls, err := s.readFields(w, r, &body, "user_id", "period_start", "period_end")
	if err != nil {
		return err
	}
	switch {
	case body.UserID == nil && !nulls["user_id"]:
		return needUser("budget")
	case body.BudgetType == nil || body.AmountCents == nil:
		return jeantrail.Errorf(jeantrail.CodeInvalid, "a budget needs budget_type and amount_cents").
			WithHint(`For example {"user_id": "user123", "budget_type": "daily", "amount_cents": 1000}.`)
	}
	b := jeantrail.Budget{AlertThreshold: jeantrail.DefaultAlertThreshold}
	change := budgetChange(body)
	if err := change.apply(&b, nulls); err != nil {
		return err
	}
	added, err := s.opt.Money.AddBudget(r.Context(), caller(r), b)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/budgets/"+added.ID)
	return writeJSON(w, http.StatusCreated, budgetOf(added, s.opt.Clock()))
}

// needUser refuses what does not say whose it is: taken for everybody's it could
// stop, or steer, more than was meant.
func needUser(thing string) error {
	return jeantrail.Errorf(jeantrail.CodeInvalid, "the %s does not say whose it is", thing).
		WithHint("Send user_id with a user, or with null for everybody.")
}

// changeBudget serves PATCH /budgets/{id}.
func (s *Server) changeBudget(w http.ResponseWriter, r *http.Request) error {
	var body budgetChange
	nulls, err := s.readFields(w, r, &body, "user_id", "period_start", "period_end")
	if err != nil {
		return err
	}
	if body == (budgetChange{}) && len(nulls) == 0 {
		return changesNothing()
	}
	b, err := s.opt.Money.ChangeBudget(r.Context(), caller(r), r.PathValue("id"), func(b *jeantrail.Budget) error {
		return body.apply(b, nulls)
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, budgetOf(b, s.opt.Clock()))
}

func changesNothing() error {
	return jeantrail.Errorf(jeantrail.CodeInvalid, "the body names nothing to change").
		WithHint("Send the fields that are to have another value.")
}

// deleteBudget serves DELETE /budgets/{id}.
func (s *Server) deleteBudget(w http.ResponseWriter, r *http.Request) error {
	if err := s.opt.Money.DeleteBudget(r.Context(), caller(r), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// wireAlert is a budget's alert: in GET /alerts, and as it is raised on a
// WebSocket, where it has a type.
type wireAlert struct {
	Type        string  `json:"type,omitempty" enum:"alert" doc:"On a WebSocket only."`
	BudgetID    string  `json:"budget_id"`
	UserID      *string `json:"user_id" doc:"Whose budget it is; null is everybody's."`
	Percent     int     `json:"percent" doc:"The share of the budget that is spent: its threshold, or 100."`
	LimitMicros int64   `json:"limit_micros"`
	SpentMicros int64   `json:"spent_micros"`
	WindowStart *string `json:"window_start" format:"date-time" doc:"null is since ever."`
	WindowEnd   *string `json:"window_end" format:"date-time" doc:"null is without end."`
	At          string  `json:"at" format:"date-time"`
}

type wireAlerts struct {
	Alerts []*wireAlert `json:"alerts" nullable:"false"`
}

func alertOf(a *jeantrail.Alert) *wireAlert {
	return &wireAlert{
		BudgetID: a.BudgetID, UserID: orNull(a.UserID), Percent: a.Percent, LimitMicros: int64(a.Limit), SpentMicros: int64(a.Spent),
		WindowStart: orNull(wireTime(a.Window.Start)), WindowEnd: orNull(wireTime(a.Window.End)), At: wireTime(a.At),
	}
}

// listAlerts serves GET /alerts, newest first.
func (s *Server) listAlerts(w http.ResponseWriter, r *http.Request) error {
	query, err := readQuery(r, "user_id", "limit")
	if err != nil {
		return err
	}
	limit, err := queryLimit(query)
	if err != nil {
		return err
	}
	list, err := s.opt.Money.Alerts(r.Context(), caller(r), query.Get("user_id"), limit)
	if err != nil {
		return err
	}
	out := wireAlerts{Alerts: make([]*wireAlert, 0, len(list))}
	for i := range list {
		out.Alerts = append(out.Alerts, alertOf(&list[i]))
	}
	return writeJSON(w, http.StatusOK, &out)
}
