/* Asking for a retraining: what the policy says, the budget and the message stand in the dialog first.

   Names are data: they are set as text and values, never as markup. */
"use strict";
(function () {
  var driftline = window.driftline, h = driftline.handling, element = h.element;

  function path(about) {
    return "/models/" + encodeURIComponent(about.model) + "/retrains";
  }
  function says(policy) {
    var why = policy.why.length ? " " + policy.why[0].charAt(0).toUpperCase() + policy.why[0].slice(1) + "." : "";
    return {
      ask: "The policy would ask for it now.",
      held: "The policy would hold it back." + why,
      nothing: "The policy would not ask for it now." + why
    }[policy.verdict] || "";
  }
  function ask(about) {
    var line = element("p", { className: "preview" }), wrong = element("p", { className: "wrong", hidden: true });
    line.setAttribute("aria-live", "polite");
    wrong.setAttribute("role", "alert");
    var name = element("input", { type: "text", maxLength: 100, autocomplete: "name" });
    name.value = driftline.kept(h.NAME) || "";
    var reason = element("input", { type: "text", maxLength: 1000, autocomplete: "off" });
    var payload = element("pre", { className: "payload", tabIndex: 0 });
    payload.setAttribute("aria-label", "The message");
    var shown = element("details", { className: "numbers" }, [
      element("summary", { textContent: "The message to " + about.trainer }), payload
    ]);
    var send = element("button", { type: "submit", className: "button main", textContent: "Retrain" });
    var cancel = element("button", { type: "button", className: "button", textContent: "Cancel" });
    var form = element("form", { method: "dialog" }, [
      element("h2", { id: "handling-title", textContent: "Retrain " + about.model + " " + about.version }),
      element("p", { className: "lead", textContent: about.trainer + " is asked to train a new version. " +
        about.policy + " " + about.budget }),
      line, h.field("Why", reason, "reason"), h.field("Your name, as others know you", name, "by"), shown, wrong,
      element("div", { className: "ends" }, [cancel, send])
    ]);
    var asked = 0;
    function body(isDry) {
      var found = { version: about.version, dry_run: isDry };
      if (reason.value.trim()) {
        found.reason = reason.value.trim();
      }
      if (name.value.trim()) {
        found.by = name.value.trim();
      }
      return found;
    }
    function preview() {
      var mine = ++asked;
      h.post(path(about), body(true)).then(function (found) {
        if (mine === asked) {
          line.textContent = says(found.policy);
          payload.textContent = JSON.stringify(found.message, null, 2);
        }
      }, function (error) {
        if (mine === asked) {
          line.textContent = error.message;
        }
      });
    }
    form.addEventListener("change", preview);
    form.addEventListener("submit", function (event) {
      event.preventDefault();
      send.disabled = true;
      wrong.hidden = true;
      driftline.kept(h.NAME, name.value.trim());
      h.post(path(about), body(false)).then(function (found) {
        dialog.close();
        driftline.say("Retraining is asked for.");
        driftline.go("/retrains/" + found.request.id);
      }, function (error) {
        send.disabled = false;
        wrong.textContent = error.message;
        wrong.hidden = false;
      });
    });
    var dialog = h.open(form, cancel);
    reason.focus();
    preview();
  }
  document.addEventListener("click", function (event) {
    var button = event.target instanceof Element && event.target.closest("[data-do=retrain], [data-why]");
    if (!button) {
      return;
    }
    if (button.dataset.why) {
      driftline.say(button.dataset.why); /* its tooltip, to whoever has none */
    } else {
      ask(JSON.parse(button.dataset.about));
    }
  });
})();
