package policy_test

import (
	"testing"

	"github.com/jeantrail/jeantrail-ai"
	"github.com/jeantrail/jeantrail-ai/gateway/policy"
)

func TestDecisions(t *testing.T) {
	principals := map[string]jeantrail.Principal{
		"admin":  {UserID: "root", Role: jeantrail.RoleAdmin},
		"user":   {UserID: "ann", Role: jeantrail.RoleUser},
		"agent":  {UserID: "ann", Role: jeantrail.RoleUser, ActForOthers: true},
		"viewer": {UserID: "ann", Role: jeantrail.RoleViewer},
		"nobody": {UserID: "ann"},
	}
	type answers struct{ submit, actForBob, seeOwn, seeBobs, cancelOwn, cancelBobs, listAll, listBobs, setMoney, seeOwnMoney, seeBobsMoney, seeAllMoney bool }
	want := map[string]answers{
		"admin": {submit: true, seeOwn: true, seeBobs: true, cancelOwn: true, cancelBobs: true, listAll: true, listBobs: true,
			setMoney: true, seeOwnMoney: true, seeBobsMoney: true, seeAllMoney: true},
		"user": {submit: true, seeOwn: true, cancelOwn: true, seeOwnMoney: true},
		"agent": {submit: true, actForBob: true, seeOwn: true, seeBobs: true, cancelOwn: true, cancelBobs: true, listBobs: true,
			seeOwnMoney: true, seeBobsMoney: true},
		"viewer": {seeOwn: true, seeOwnMoney: true},
		"nobody": {seeOwn: true, seeOwnMoney: true},
	}
	bobs := &jeantrail.Job{UserID: "bob"}
	for name, p := range principals {
		own := &jeantrail.Job{UserID: p.UserID}
		got := answers{
			submit: policy.CanSubmit(p), actForBob: policy.CanActFor(p, "bob"),
			seeOwn: policy.CanSee(p, own), seeBobs: policy.CanSee(p, bobs),
			cancelOwn: policy.CanCancel(p, own), cancelBobs: policy.CanCancel(p, bobs),
			listAll: policy.CanList(p, ""), listBobs: policy.CanList(p, "bob"),
			setMoney: policy.CanSetMoney(p), seeOwnMoney: policy.CanSeeMoney(p, p.UserID),
			seeBobsMoney: policy.CanSeeMoney(p, "bob"), seeAllMoney: policy.CanSeeMoney(p, ""),
		}
		if got != want[name] {
			t.Errorf("%s: got %+v, want %+v", name, got, want[name])
		}
		if !policy.CanActFor(p, "") || !policy.CanActFor(p, p.UserID) {
			t.Errorf("%s may not act for itself", name)
		}
	}
}

// A job without a user must not belong to a principal without one: only the
// empty user that a caller leaves out means itself.
func TestSeeNeedsUser(t *testing.T) {
	stranger := jeantrail.Principal{UserID: "ann", Role: jeantrail.RoleUser}
	if policy.CanSee(stranger, &jeantrail.Job{}) {
		t.Error("a job without a user is seen by everybody")
	}
}
