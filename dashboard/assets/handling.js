/* What people do about an incident: a button with data-do asks in a dialog, and writes over the API.

   Names are data: they are set as text and values, never as markup. */
"use strict";
(function () {
  var NAME = "driftline-name";
  var driftline = (window.driftline = window.driftline || {});
  var WORDS = {
    "acknowledge": ["Acknowledge", "Somebody looks after it, until it turns worse or opens again."],
    "give-back": ["Give back", "Nobody looks after it from then on."],
    "assign": ["Assign", "A name that others read. Nobody is told by a message."],
    "comment": ["Comment", "It stands in what happened, for good."],
    "silence": ["Silence", "Nothing new of it is told until the silence is over. What still stands is told then."],
    "redeliver": ["Redeliver", "It keeps its id and its body: a receiver that has it already does nothing. Its attempts begin anew."],
    "try-now": ["Try now", "The next attempt is made at once; the schedule goes on from there."]
  };
  var LASTING = [["3600", "1 hour"], ["14400", "4 hours"], ["86400", "1 day"], ["259200", "3 days"],
    ["604800", "1 week"], ["2592000", "30 days"]];

  function element(tag, properties, children) {
    var made = Object.assign(document.createElement(tag), properties || {});
    (children || []).forEach(function (child) { made.append(child); });
    return made;
  }
  function field(label, input, name) {
    input.name = name;
    return element("label", { className: "field" }, [element("span", { textContent: label }), input]);
  }
  function choice(options, chosen) {
    return element("select", {}, options.map(function (option) {
      return element("option", { value: option[0], textContent: option[1], selected: option[0] === chosen });
    }));
  }
  function post(path, body) {
    return window.fetch("/api/v1" + path, {
      method: "POST", credentials: "same-origin", body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", "Accept": "application/json" }
    }).then(function (answer) {
      return answer.json().catch(function () { return {}; }).then(function (found) {
        if (answer.ok) {
          return found;
        }
        var said = [found.title || "The server answered " + answer.status, found.detail, found.mend];
        throw new Error(said.filter(Boolean).map(function (part) {
          return String(part).replace(/\.$/, "");
        }).join(". ") + ".");
      });
    });
  }
  function again() {
    driftline.set("retry", { data: Date.now() });
  }
  function plural(n, word) {
    return n + " " + word + (n === 1 ? "" : "s");
  }

  /* ---- The fields of each dialog, and what they come to. */
  function anyOf(names, word) {
    return [["", "any " + word]].concat(names.map(function (name) { return [name, name]; }));
  }
  function only(names) {
    return names.length === 1 ? names[0] : "";
  }
  function silenceFields(about) {
    return [
      field("Model", choice(anyOf([about.model], "model"), about.model), "model"),
      field("Version", choice(anyOf([about.version], "version"), ""), "version"),
      field("Feature", choice(anyOf(about.features, "feature"), only(about.features)), "feature"),
      field("Kind", choice(anyOf(about.kinds, "kind"), only(about.kinds)), "kind"),
      field("Segment", choice(anyOf(about.segments, "segment"), ""), "segment"),
      field("Severity", choice([["", "warnings and critical"],
        ["warning", "warnings; what turns critical is told"]], ""), "severity"),
      field("For", choice(LASTING, "14400"), "for_s"),
      field("Why", element("input", { type: "text", maxLength: 4000, autocomplete: "off" }), "reason")
    ];
  }
  function fieldsOf(what, about) {
    if (about.delivery) {
      return [];
    }
    var comment = element("textarea", { rows: 3, maxLength: 4000, required: what === "comment" });
    if (what === "silence") {
      return silenceFields(about);
    }
    if (what === "assign") {
      return [field("To whom", element("input", {
        type: "text", maxLength: 100, value: about.assignee || "", autocomplete: "off" }), "to")];
    }
    return [field(what === "comment" ? "Comment" : "Comment, if there is something to say", comment,
      what === "comment" ? "text" : "comment")];
  }
  function bodyOf(form, what) {
    var body = {};
    new FormData(form).forEach(function (value, name) {
      if (value !== "" || name === "to") {
        body[name] = name === "for_s" ? Number(value) : value;
      }
    });
    if (what === "silence" && !(body.model || body.version || body.feature || body.kind || body.segment)) {
      body.all = true;
    }
    return body;
  }
  function preview(form, line) {
    var asked = bodyOf(form, "silence");
    delete asked.by;
    var mine = (line.asked = (line.asked || 0) + 1);
    post("/silences/preview", asked).then(function (found) {
      if (line.asked !== mine) {
        return; /* another answer is on its way */
      }
      var said = "Mutes " + plural(found.firing.length, "firing incident") +
        " now; would have muted " + found.past.length + " of the last 30 days.";
      if (found.overlapping.length) {
        said += " Silence " + found.overlapping.join(", ") + " means some of the same.";
      }
      line.textContent = said;
    }, function (error) {
      if (line.asked === mine) {
        line.textContent = error.message;
      }
    });
  }

  /* A dialog around a form: Escape, a press beside it and its button give up. */
  function open(form, cancel) {
    var dialog = element("dialog", { className: "handling" }, [form]);
    dialog.setAttribute("aria-labelledby", "handling-title");
    cancel.addEventListener("click", function () { dialog.close(); });
    dialog.addEventListener("close", function () { dialog.remove(); });
    dialog.addEventListener("pointerdown", function (event) {
      if (event.target === dialog) {
        dialog.close();
      }
    });
    document.body.append(dialog);
    dialog.showModal();
    return dialog;
  }

  function ask(what, about) {
    var line = element("p", { className: "preview" });
    line.setAttribute("aria-live", "polite");
    var wrong = element("p", { className: "wrong", hidden: true });
    wrong.setAttribute("role", "alert");
    var name = element("input", { type: "text", maxLength: 100, autocomplete: "name" });
    name.value = driftline.kept(NAME) || "";
    var send = element("button", { type: "submit", className: "button main", textContent: WORDS[what][0] });
    var cancel = element("button", { type: "button", className: "button", textContent: "Cancel" });
    var whom = about.delivery ? " to " + about.endpoint : " #" + about.number;
    var head = element("h2", { id: "handling-title", textContent: WORDS[what][0] + whom });
    var form = element("form", { method: "dialog", noValidate: false }, [
      head, element("p", { className: "lead", textContent: WORDS[what][1] })
    ].concat(fieldsOf(what, about), [
      about.delivery ? "" : field("Your name, as others know you", name, "by"),
      what === "silence" ? line : "", wrong,
      element("div", { className: "ends" }, [cancel, send])
    ]));
    form.addEventListener("submit", function (event) {
      event.preventDefault();
      send.disabled = true;
      wrong.hidden = true;
      if (!about.delivery) {
        driftline.kept(NAME, name.value.trim());
      }
      var path = about.delivery ? "/deliveries/" + about.delivery + "/redeliver"
        : what === "silence" ? "/silences" : "/incidents/" + about.number + "/" + what;
      post(path, bodyOf(form, what)).then(function () {
        dialog.close();
        driftline.say(WORDS[what][0] + ": done.");
        again();
      }, function (error) {
        send.disabled = false;
        wrong.textContent = error.message;
        wrong.hidden = false;
      });
    });
    var dialog = open(form, cancel);
    (form.querySelector("textarea, input") || send).focus();
    if (what === "silence") {
      form.addEventListener("change", function () { preview(form, line); });
      preview(form, line);
    }
  }
  /* Feedback and the end of a silence need no dialog: they are taken back by another press. */
  function at_once(what, about, button) {
    var by = driftline.kept(NAME) || "";
    var path = what === "end-silence" ? "/silences/" + about.silence + "/end"
      : "/incidents/" + about.number + "/feedback";
    var body = what === "end-silence" ? { by: by } : { by: by, verdict: button.dataset.verdict };
    button.disabled = true;
    post(path, body).then(again, function (error) {
      driftline.say(error.message);
      window.alert(error.message);
    }).finally(function () { button.disabled = false; });
  }
  document.addEventListener("click", function (event) {
    var button = event.target instanceof Element && event.target.closest("[data-do]");
    if (!button) {
      return;
    }
    var what = button.dataset.do;
    if (/-many$|^retrain$/.test(what)) {
      return; /* see many.js and retraining.js */
    }
    if (what === "redeliver") {
      ask(button.dataset.was === "pending" ? "try-now" : what,
        { delivery: button.dataset.delivery, endpoint: button.dataset.endpoint });
      return;
    }
    var box = button.closest("[data-about]") || document.querySelector("[data-about]");
    var about = JSON.parse(box.dataset.about);
    if (what === "feedback" || what === "end-silence") {
      at_once(what, about, button);
    } else {
      ask(what, about);
    }
  });

  driftline.handling = { NAME: NAME, LASTING: LASTING, element: element, field: field, choice: choice,
    post: post, plural: plural, open: open, again: again };
})();
