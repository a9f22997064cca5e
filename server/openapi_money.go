package server

import (
	"fmt"
	"net/http"

	"github.com/jeantrail/jeantrail-ai"
)

// What the operations on money share.

func kept(thing string) []param { return []param{{"id", "path", "The " + thing + "'s id.", ""}} }

func ofUser() param {
	return param{"user_id", "query", "Those of a user and of everybody; all if left out, as far as the caller may see them.", ""}
}

// location is what a 201 says of its header.
const location = " Location is where it is from now on."

func listed(id, tag, summary string, params []param, body any) operation {
	return operation{
		id: id, tag: tag, summary: summary, params: params,
		answers: []answer{{http.StatusOK, "All of them.", "", body}},
		errors:  []jeantrail.Code{jeantrail.CodeInvalid, jeantrail.CodeForbidden},
	}
}

func shownOne(id, tag, summary string, params []param, body any) operation {
	return operation{
		id: id, tag: tag, summary: summary, params: params,
		answers: []answer{{http.StatusOK, "As it stands.", "", body}},
		errors:  []jeantrail.Code{jeantrail.CodeForbidden, jeantrail.CodeNotFound},
	}
}

// written is an operation with a body that writes something.
func written(id, tag, summary, detail string, params []param, request any, ok answer, more ...jeantrail.Code) operation {
	return operation{
		id: id, tag: tag, summary: summary, detail: detail, params: params, request: request, answers: []answer{ok},
		errors: append([]jeantrail.Code{
			jeantrail.CodeInvalid, jeantrail.CodeForbidden, jeantrail.CodeTooLarge, jeantrail.CodeUnsupportedMedia, jeantrail.CodeStorageFull,
		}, more...),
	}
}

func deleted(id, tag, summary, detail string, params []param) operation {
	return operation{
		id: id, tag: tag, summary: summary, detail: detail, params: params,
		answers: []answer{{http.StatusNoContent, "It is gone.", "", nil}},
		errors:  []jeantrail.Code{jeantrail.CodeForbidden, jeantrail.CodeNotFound},
	}
}

func docListBudgets() operation {
	return listed("listBudgets", "money", "List budgets and how they stand", []param{ofUser()}, wireBudgets{})
}

func docAddBudget() operation {
	return written("addBudget", "money", "Add a budget",
		"It holds from the next request on. Several budgets apply at once: a job needs room in each one of its user and of everybody.",
		nil, budgetRequest{}, answer{http.StatusCreated, "The budget." + location, "", wireBudget{}}, jeantrail.CodeConflict)
}

func docGetBudget() operation {
	return shownOne("getBudget", "money", "Show a budget and how it stands", kept("budget"), wireBudget{})
}

func docChangeBudget() operation {
	return written("changeBudget", "money", "Change a budget", "What the body leaves out stays as it is.",
		kept("budget"), budgetChange{}, answer{http.StatusOK, "The budget as it is now.", "", wireBudget{}}, jeantrail.CodeNotFound)
}

func docDeleteBudget() operation {
	return deleted("deleteBudget", "money", "Delete a budget", "What was spent is kept with the jobs.", kept("budget"))
}

func docListAlerts() operation {
	return listed("listAlerts", "money", "List alerts, newest first",
		[]param{ofUser(), {"limit", "query", fmt.Sprintf("1 to %d; %d if left out.", maxPage, defaultPage), 0}}, wireAlerts{})
}

func docListRules() operation {
	return listed("listRules", "rules", "List optimisation rules in the order in which they are tried", []param{ofUser()}, wireRules{})
}

func docAddRule() operation {
	return written("addRule", "rules", "Add an optimisation rule", "A condition or an action that is not known is refused by name.",
		nil, ruleRequest{}, answer{http.StatusCreated, "The rule." + location, "", wireRule{}}, jeantrail.CodeConflict)
}

func docTestRules() operation {
	return written("testRules", "rules", "Explain what the rules make of a request", "Nothing is run, and nothing is kept.",
		nil, rulesTest{}, answer{http.StatusOK, "Which condition held, and what came of it.", "", wireReport{}},
		jeantrail.CodeNotFound, jeantrail.CodeContextLength)
}

func docGetRule() operation {
	return shownOne("getRule", "rules", "Show an optimisation rule", kept("rule"), wireRule{})
}

func docChangeRule() operation {
	return written("changeRule", "rules", "Change an optimisation rule", "What the body leaves out stays as it is.",
		kept("rule"), ruleChange{}, answer{http.StatusOK, "The rule as it is now.", "", wireRule{}}, jeantrail.CodeNotFound)
}

func docDeleteRule() operation {
	return deleted("deleteRule", "rules", "Delete an optimisation rule", "", kept("rule"))
}

func docListPrices() operation {
	return listed("listPrices", "money", "List the prices in force", nil, wirePrices{})
}

func docSetPrice() operation {
	return written("setPrice", "money", "Set what a model's work costs", "Jobs that were admitted before keep their price.",
		[]param{{"model", "path", "A model's name; * is every model of the kind that has no price of its own.", ""}},
		priceRequest{}, answer{http.StatusOK, "The price.", "", wirePrice{}}, jeantrail.CodeNotFound)
}

// statisticsParams restrict costs and usage.
func statisticsParams(more ...param) []param {
	return append(more,
		param{"from", "query", "Ended at or after: RFC 3339, or a day.", ""}, param{"to", "query", "Ended before.", ""},
		param{"user_id", "query", "", ""}, param{"model", "query", "", ""}, param{"kind", "query", "", ""})
}

func docListCosts() operation {
	return listed("listCosts", "money", "Sum finished jobs up",
		statisticsParams(param{"group_by", "query", "day, model, user, kind or workflow; day if left out.", ""}), wireCosts{})
}

func docVerifyCosts() operation {
	return written("verifyCosts", "money", "Hold the statistics against the costs", "For administrators.",
		nil, verifyRequest{}, answer{http.StatusOK, "What was found.", "", wireVerification{}})
}

func docListUsage() operation {
	return listed("listUsage", "money", "Show usage by the hour, user, model and kind", statisticsParams(), wireUsageStats{})
}

func named() []param { return []param{{"name", "path", "The template's name.", ""}} }

func docListTemplates() operation {
	return listed("listTemplates", "templates", "List prompt templates", nil, wireTemplates{})
}

func docGetTemplate() operation {
	return shownOne("getTemplate", "templates", "Show a prompt template with its texts", named(), wireTemplate{})
}

func docRenderTemplate() operation {
	return written("renderTemplate", "templates", "Fill a prompt template", "Nothing is run.",
		named(), renderRequest{}, answer{http.StatusOK, "The texts.", "", wireRendered{}}, jeantrail.CodeNotFound)
}
