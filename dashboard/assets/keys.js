/* Keys: places, the search, walking through what it found, and the focus, which is kept. */
"use strict";
(function () {
  var driftline = (window.driftline = window.driftline || {});

  /* ---- What has the focus keeps it when its part of the page is drawn anew. */
  var last = null;
  function name(element) {
    var label = element.getAttribute("aria-label") || "";
    var href = element.getAttribute("href") || "";
    return element.tagName + "|" + label + "|" + (label ? "" : href + "|" + (element.textContent || "").slice(0, 80));
  }
  document.addEventListener("pointerdown", function (event) {
    if (last && !last.element.contains(event.target)) {
      last = null;
    }
  });
  document.addEventListener("focusin", function (event) {
    last = { element: event.target, name: name(event.target), at: Date.now() };
  });
  function refocus() {
    if (!last || document.contains(last.element) || document.activeElement !== document.body ||
        Date.now() - last.at > 30000) {
      return;
    }
    var wanted = last.name;
    var found = Array.prototype.find.call(
      document.querySelectorAll("main a, main button, main input, main [tabindex]"),
      function (element) { return name(element) === wanted; });
    if (found) {
      found.focus({ preventScroll: true });
    }
  }

  /* ---- The search and the other dialogs. */
  /* `typed`: the letters that came while the search field was on its way; null once it is there. */
  var typed = null;
  function open(which) {
    driftline.set(which + "-dialog", { opened: true });
    if (which === "search" && typed === null) {
      typed = "";
      var tries = 0, wait = window.setInterval(function () {
        var field = document.getElementById("search-text");
        tries += 1;
        if (field) {
          field.focus();
          field.select();
          if (typed) {
            document.execCommand("insertText", false, typed);
          }
        }
        if (field || tries > 120) {
          typed = null;
          window.clearInterval(wait);
        }
      }, 16);
    }
  }
  /* Letters before the field is there are kept, not taken for keys of the page. */
  function early(event) {
    if (typed === null || event.ctrlKey || event.metaKey || event.altKey) {
      return false;
    }
    if (event.key.length === 1) {
      typed += event.key;
    } else if (event.key === "Backspace") {
      typed = typed.slice(0, -1);
    } else {
      return false;
    }
    event.preventDefault();
    return true;
  }
  /* What is typed is asked for when it has rested; the field itself never waits. */
  var search = null;
  function searching(text) {
    window.clearTimeout(search);
    search = window.setTimeout(function () { driftline.set("search-asked", { data: text || "" }); }, 150);
    return window.dash_clientside.no_update;
  }

  /* ---- Keys of the page. */
  var gAt = 0;
  var PLACES = { o: "/", i: "/incidents", p: "/pipeline", r: "/references" };
  function isTyping(element) {
    if (element && element.tagName === "INPUT" && /^(radio|checkbox|button)$/.test(element.type)) {
      return false;
    }
    return element && (/^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName) || element.isContentEditable);
  }
  document.addEventListener("keydown", function (event) {
    if (early(event)) {
      return;
    }
    if (event.key === "Escape") {
      var menu = document.querySelector("details.menu[open]");
      if (menu) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
      if (document.body.classList.contains("nav-open")) {
        driftline.close();
        document.getElementById("burger").focus();
      }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) {
      if (event.target && event.target.id === "search-text") {
        walk(event);
      }
      return;
    }
    if (document.querySelector("dialog[open]")) {
      return;
    }
    if (document.querySelector(".mantine-Modal-content")) {
      walk(event);
      return;
    }
    if (Date.now() - gAt < 1500 && PLACES[event.key]) {
      gAt = 0;
      event.preventDefault();
      driftline.go(PLACES[event.key]);
      return;
    }
    gAt = event.key === "g" ? Date.now() : 0;
    if (event.key === "/") {
      event.preventDefault();
      open("search");
    } else if (event.key === "?") {
      open("keys");
    } else if (event.key === "p") {
      driftline.pause();
    } else if (event.key === "c") {
      driftline.copy(driftline.view(), null);
    } else if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && !event.target.closest("[role=grid], .ag-root, [role=radiogroup], .mantine-SegmentedControl-root, [data-keys]")) {
      var step = document.querySelector('[data-step="' + (event.key === "ArrowLeft" ? "back" : "on") + '"]');
      if (step && !step.hasAttribute("disabled")) {
        event.preventDefault();
        step.click();
      }
    }
  });
  /* Up and down through what a search found. */
  function walk(event) {
    var links = Array.prototype.slice.call(document.querySelectorAll(".search-results a"));
    if (!links.length) {
      return;
    }
    var at = links.indexOf(document.activeElement);
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      var next = event.key === "ArrowDown" ? Math.min(links.length - 1, at + 1) : at - 1;
      (next < 0 ? document.getElementById("search-text") : links[next]).focus();
    } else if (event.key === "Enter" && at < 0) {
      event.preventDefault();
      var answered = document.querySelector(".search-results [data-for]");
      if (answered && answered.dataset["for"] === document.getElementById("search-text").value) {
        links[0].click();
      }
    }
  }

  Object.assign(driftline, { open: open, refocus: refocus, searching: searching });
})();
