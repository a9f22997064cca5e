package policy

import "github.com/jeantrail/jeantrail-ai"

// CanSubmit reports whether the principal may start work at all. A viewer only
// looks.
func CanSubmit(p jeantrail.Principal) bool {
	return p.Role == jeantrail.RoleAdmin || p.Role == jeantrail.RoleUser
}

// CanActFor reports whether the principal may send work on behalf of the user,
// who then is the one to pay. The empty user is the principal's own.
func CanActFor(p jeantrail.Principal, user string) bool {
	return user == "" || user == p.UserID || p.ActForOthers
}

// CanSee reports whether the principal may read the job, its events and its
// result: an administrator every one, anybody else those of users whom the
// principal may act for.
func CanSee(p jeantrail.Principal, job *jeantrail.Job) bool {
	return p.Role == jeantrail.RoleAdmin || job.UserID != "" && CanActFor(p, job.UserID)
}

// CanCancel reports whether the principal may stop the job.
func CanCancel(p jeantrail.Principal, job *jeantrail.Job) bool {
	return CanSubmit(p) && CanSee(p, job)
}

// CanList reports whether the principal may list the jobs of the user; the
// empty user means those of everybody.
func CanList(p jeantrail.Principal, user string) bool {
	return p.Role == jeantrail.RoleAdmin || user != "" && CanActFor(p, user)
}

// CanSetMoney reports whether the principal may change what decides about
// money: budgets, rules and prices.
func CanSetMoney(p jeantrail.Principal) bool { return p.Role == jeantrail.RoleAdmin }

// CanSeeMoney reports whether the principal may see the user's budgets, rules,
// costs and alerts; the empty user means those of everybody.
func CanSeeMoney(p jeantrail.Principal, user string) bool { return CanList(p, user) }
