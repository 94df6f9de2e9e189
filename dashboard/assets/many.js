/* Several incidents at once: what is selected in the list is acknowledged or silenced in one dialog.

   Each is asked for by itself, in the list's order; what became of each is said beside it. */
"use strict";
(function () {
  var driftline = (window.driftline = window.driftline || {});
  var functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  var h = driftline.handling, element = h.element;
  var HINT = "Select incidents first: the boxes at the left, or Space on a row.";
  var chosen = {}, grid = null;
  var WORDS = {
    "acknowledge-many": ["Acknowledge", "Somebody looks after them, until they turn worse or open again."],
    "silence-many": ["Silence", "A silence for each: nothing new of it is told until that is over. " +
      "What still stands is told then."]
  };

  function numbers() {
    return Object.keys(chosen).map(Number).sort(function (a, b) { return b - a; });
  }
  function show(words) {
    var box = document.getElementById("incidents-selected");
    if (box) {
      box.textContent = words;
    }
  }
  function sync() {
    var n = numbers().length;
    show(n ? n + " selected" : "");
    document.querySelectorAll("[data-pick]").forEach(function (box) {
      box.setAttribute("aria-checked", String(JSON.parse(box.dataset.pick).number in chosen));
    });
  }
  function clear() {
    chosen = {};
    if (grid && !(grid.isDestroyed && grid.isDestroyed())) {
      grid.deselectAll();
    }
    sync();
  }
  functions.driftlineSelected = function (params) {
    grid = params.api;
    chosen = {};
    grid.getSelectedRows().forEach(function (row) {
      if (row.about) {
        chosen[row.about.number] = row.about;
      }
    });
    sync();
  };
  /* What a page shows by now may be another part of the list, or something that has ended. */
  document.addEventListener("driftline-filled", function () {
    if (!document.getElementById("incidents-selected")) {
      chosen = {};
      return;
    }
    var boxes = document.querySelectorAll("[data-pick]"), there = {};
    boxes.forEach(function (box) { there[JSON.parse(box.dataset.pick).number] = true; });
    if (boxes.length) {
      numbers().forEach(function (number) {
        if (!there[number]) {
          delete chosen[number];
        }
      });
    }
    sync();
  });

  function silenceOf(about) {
    function only(names) { return names.length === 1 ? names[0] : undefined; }
    return { model: about.model, feature: only(about.features), kind: only(about.kinds) };
  }
  function asksOf(what, about, form) {
    var given = {};
    new FormData(form).forEach(function (value, name) {
      if (value !== "") {
        given[name] = name === "for_s" ? Number(value) : value;
      }
    });
    return what === "silence-many"
      ? { path: "/silences", body: Object.assign(silenceOf(about), given) }
      : { path: "/incidents/" + about.number + "/acknowledge", body: given };
  }
  function fieldsOf(what) {
    if (what === "silence-many") {
      return [
        h.field("Severity", h.choice([["", "warnings and critical"],
          ["warning", "warnings; what turns critical is told"]], ""), "severity"),
        h.field("For", h.choice(h.LASTING, "14400"), "for_s"),
        h.field("Why", element("input", { type: "text", maxLength: 4000, autocomplete: "off" }), "reason")
      ];
    }
    return [h.field("Comment, if there is something to say",
      element("textarea", { rows: 2, maxLength: 4000 }), "comment")];
  }
  function preview(form, abouts, line) {
    var mine = (line.asked = (line.asked || 0) + 1), asked = {};
    abouts.forEach(function (about) {
      var body = asksOf("silence-many", about, form).body;
      delete body.by;
      asked[JSON.stringify(body)] = body;
    });
    Promise.all(Object.keys(asked).map(function (key) {
      return h.post("/silences/preview", asked[key]);
    })).then(function (found) {
      if (line.asked !== mine) {
        return;
      }
      var firing = {}, past = {};
      found.forEach(function (one) {
        one.firing.forEach(function (number) { firing[number] = true; });
        one.past.forEach(function (number) { past[number] = true; });
      });
      line.textContent = "Mutes " + h.plural(Object.keys(firing).length, "firing incident") +
        " now; would have muted " + Object.keys(past).length + " of the last 30 days.";
    }, function (error) {
      if (line.asked === mine) {
        line.textContent = error.message;
      }
    });
  }

  function ask(what, abouts) {
    var waiting = abouts.slice();
    var lines = {};
    var list = element("ul", { className: "batch" }, abouts.map(function (about) {
      var told = element("span", { className: "became" });
      lines[about.number] = element("li", {}, [
        element("b", { textContent: "#" + about.number }),
        element("span", { textContent: about.model + ": " + about.title }), told
      ]);
      return lines[about.number];
    }));
    var line = element("p", { className: "preview" }), wrong = element("p", { className: "wrong", hidden: true });
    line.setAttribute("aria-live", "polite");
    wrong.setAttribute("role", "alert");
    var name = element("input", { type: "text", maxLength: 100, autocomplete: "name" });
    name.value = driftline.kept(h.NAME) || "";
    var send = element("button", { type: "submit", className: "button main", textContent: WORDS[what][0] });
    var cancel = element("button", { type: "button", className: "button", textContent: "Cancel" });
    var head = element("h2", { id: "handling-title",
      textContent: WORDS[what][0] + " " + h.plural(abouts.length, "incident") });
    var form = element("form", { method: "dialog" }, [
      head, element("p", { className: "lead", textContent: WORDS[what][1] }), list
    ].concat(fieldsOf(what), [
      h.field("Your name, as others know you", name, "by"), what === "silence-many" ? line : "", wrong,
      element("div", { className: "ends" }, [cancel, send])
    ]));
    function became(about, words, isWrong) {
      var told = lines[about.number].querySelector(".became");
      told.textContent = words;
      lines[about.number].className = isWrong ? "failed" : "done";
    }
    var dialog = h.open(form, cancel);
    dialog.addEventListener("close", function () {
      if (waiting.length < abouts.length) {
        clear();
        h.again();
      }
    });
    form.addEventListener("submit", function (event) {
      event.preventDefault();
      send.disabled = true;
      wrong.hidden = true;
      driftline.kept(h.NAME, name.value.trim());
      var failed = [], made = {};
      waiting.reduce(function (before, about) {
        return before.then(function () {
          var asked = asksOf(what, about, form), key = asked.path + JSON.stringify(asked.body);
          if (key in made) {
            became(about, "the same silence", false); /* two problems of one matcher */
            return null;
          }
          made[key] = true;
          return h.post(asked.path, asked.body).then(function () {
            became(about, "done", false);
          }, function (error) {
            failed.push(about);
            became(about, error.message, true);
          });
        });
      }, Promise.resolve()).then(function () {
        waiting = failed;
        send.disabled = false;
        if (!failed.length) {
          dialog.close();
          driftline.say(WORDS[what][0] + ": " + h.plural(abouts.length, "incident") + ".");
          return;
        }
        wrong.textContent = failed.length + " of " + abouts.length + " could not be done; why stands beside each.";
        wrong.hidden = false;
        send.textContent = "Try again";
        cancel.textContent = "Close";
      });
    });
    if (what === "silence-many") {
      form.addEventListener("change", function () { preview(form, abouts, line); });
      preview(form, abouts, line);
    }
    form.querySelector("textarea, select").focus();
  }

  document.addEventListener("click", function (event) {
    var target = event.target instanceof Element ? event.target : null;
    var box = target && target.closest("[data-pick]");
    if (box) {
      var about = JSON.parse(box.dataset.pick);
      if (about.number in chosen) {
        delete chosen[about.number];
      } else {
        chosen[about.number] = about;
      }
      sync();
      return;
    }
    var button = target && target.closest("[data-do$=-many]");
    if (button) {
      var some = numbers();
      if (some.length) {
        ask(button.dataset.do, some.map(function (number) { return chosen[number]; }));
      } else {
        show(HINT);
      }
    }
  });
})();
