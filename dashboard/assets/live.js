/* What the browser does by itself: follow new data, write the address, keys, copies, pictures. */
"use strict";
(function () {
  var HIDDEN_MS = 2147483000;
  var SHOWN_MS = 2000;
  var TRIES_MS = 250;
  var paused = false;

  function set(id, props) {
    if (window.dash_clientside && window.dash_clientside.set_props) {
      window.dash_clientside.set_props(id, props);
    }
  }
  function kept(key, value) {
    try {
      if (value === undefined) {
        return window.localStorage.getItem(key);
      }
      window.localStorage.setItem(key, value);
    } catch (error) {
      /* Storage is forbidden: nothing is remembered. */
    }
    return null;
  }
  function say(words) {
    var said = document.getElementById("said");
    if (said) {
      said.textContent = words;
    }
  }

  /* ---- New data: a hidden tab, a paused page and an open dialog ask nothing. */
  function isDialogOpen() {
    return !!document.querySelector('.mantine-Modal-content, .mantine-Popover-dropdown[data-position]');
  }
  function beat() {
    set("tick", { n_intervals: Date.now() % 1000000007 });
  }
  function follow() {
    if (document.hidden || paused || isOld) {
      set("tick", { disabled: true, interval: HIDDEN_MS });
    } else {
      set("tick", { disabled: false, interval: SHOWN_MS });
      beat();
    }
  }
  /* The page asks again when the heartbeat tells of a version that it does not show. Its first
     question waits for no heartbeat: until it is answered, nothing is offered. */
  var newest = null, shownOf = null, offered = null;
  function offer() {
    if (newest && shownOf !== null && shownOf !== newest && offered !== newest) {
      offered = newest;
      set("version", { data: newest });
    }
  }
  function heard(pulse) {
    newest = (pulse && pulse.version) || null;
    offer();
    return window.dash_clientside.no_update;
  }
  function filled(seen) {
    shownOf = (seen && seen.version) || "";
    offer();
    document.dispatchEvent(new CustomEvent("driftline-filled"));
    window.setTimeout(restore, 50);
    return window.dash_clientside.no_update;
  }
  document.addEventListener("visibilitychange", function () {
    if (document.hidden) {
      kept("driftline-visit", String(Date.now()));
    }
    follow();
  });
  window.addEventListener("pagehide", function () {
    kept("driftline-visit", String(Date.now()));
  });
  function pause() {
    paused = !paused;
    document.body.classList.toggle("is-paused", paused);
    var button = document.getElementById("pause");
    button.setAttribute("aria-pressed", String(paused));
    button.setAttribute("aria-label", paused ? "Follow new data" : "Pause following new data");
    button.firstElementChild.className = "i i-" + (paused ? "play" : "pause");
    say(paused ? "Paused: the page stays as it is." : "Following new data.");
    follow();
  }

  /* ---- A server that does not answer: the page stays, and says since when. One that was
     upgraded under an open page no longer knows its questions: then only loading it anew helps. */
  var fetched = window.fetch, lostAt = null, isOld = false;
  function told(strong, words, action) {
    var gone = document.getElementById("gone"), box = document.createElement("div");
    var text = document.createElement("span"), head = document.createElement("b");
    box.className = "banner";
    head.textContent = strong + " ";
    text.append(head, words);
    box.append(text);
    if (action) {
      box.append(action);
    }
    gone.replaceChildren(box);
    gone.hidden = false;
  }
  function lost(isLost) {
    var gone = document.getElementById("gone");
    if (!gone || isOld || isLost === (lostAt !== null)) {
      return;
    }
    lostAt = isLost ? new Date() : null;
    document.body.classList.toggle("is-gone", isLost);
    if (isLost) {
      told("Driftline does not answer.", "What is shown is the last good answer, of " +
        lostAt.toISOString().slice(11, 16) + " UTC. The page asks again by itself.");
    } else {
      gone.hidden = true;
      gone.replaceChildren();
      set("retry", { data: Date.now() });
    }
  }
  function old() {
    if (isOld || !document.getElementById("gone")) {
      return;
    }
    isOld = true;
    var button = document.createElement("button");
    button.type = "button";
    button.className = "button";
    button.textContent = "Load the page anew";
    button.addEventListener("click", function () { window.location.reload(); });
    told("Driftline was upgraded.", "This page was loaded before, and shows what it knew then.", button);
    set("tick", { disabled: true, interval: HIDDEN_MS });
  }
  window.fetch = function (resource) {
    var url = String(resource && resource.url ? resource.url : resource);
    var isOurs = url.indexOf("_dash-update-component") >= 0;
    return fetched.apply(this, arguments).then(
      function (answer) {
        if (isOurs && answer.status === 409) {
          old();
        } else if (isOurs) {
          lost(answer.status === 502 || answer.status === 503 || answer.status === 504);
        }
        return answer;
      },
      function (error) {
        if (isOurs && !document.hidden) {
          lost(true);
        }
        throw error;
      }
    );
  };

  /* ---- The screen: figures are drawn by the server for one scheme and one width. */
  var narrow = window.matchMedia("(max-width: 767px)");
  var visit = Number(kept("driftline-visit")) || null;
  var isZoneKnown = false;
  function screen(zone) {
    var root = document.documentElement;
    var chosen = (isZoneKnown ? zone : kept("driftline-zone")) === "local" ? "local" : "utc";
    if (isZoneKnown && document.body.dataset.zone !== chosen) {
      window.setTimeout(beat, 50); /* the header's times follow */
    }
    isZoneKnown = true;
    document.body.dataset.zone = chosen;
    kept("driftline-zone", chosen);
    var none = window.dash_clientside.no_update;
    return [
      {
        scheme: root.getAttribute("data-mantine-color-scheme"), narrow: narrow.matches,
        zone: chosen, tz: Intl.DateTimeFormat().resolvedOptions().timeZone, visit: visit,
      },
      chosen === zone ? none : chosen,
    ];
  }
  function tell() {
    if (!isZoneKnown) {
      return;
    }
    set("screen", { data: screen(document.body.dataset.zone || "utc")[0] });
  }
  new MutationObserver(tell).observe(document.documentElement, {
    attributeFilter: ["data-mantine-color-scheme"],
  });
  narrow.addEventListener("change", tell);

  /* ---- Addresses. */
  function go(href) {
    document.body.classList.remove("nav-open");
    window.history.pushState({}, "", href);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    window.dispatchEvent(new CustomEvent("_dashprivate_historychange"));
  }
  function write(changes) {
    var url = new URL(window.location.href);
    Object.keys(changes).forEach(function (key) {
      if (changes[key] === null || changes[key] === undefined) {
        url.searchParams.delete(key);
      } else {
        url.searchParams.set(key, changes[key]);
      }
    });
    if (url.href !== window.location.href) {
      go(url.pathname + url.search);
    }
  }
  /* Days that are a preset's are written as that preset: `from=-28d` moves on with the data. */
  function range(days, value) {
    var box = document.querySelector("[data-presets]"), presets = box ? JSON.parse(box.dataset.presets) : {};
    return days in presets
      ? { from: presets[days], to: null, at: null, page: null }
      : { from: value[0], to: value[1], at: null, page: null };
  }
  /* A control that changed says so; one that was only drawn anew has the value it was drawn with. */
  var pending = {}, touched = {};
  function control(values) {
    var context = window.dash_clientside.callback_context;
    var moved = (context.triggered || []).map(function (one) { return one.prop_id; });
    context.inputs_list[0].forEach(function (input) {
      var id = input.id, value = input.value;
      var isMoved = moved.some(function (prop) {
        return prop.indexOf(JSON.stringify(id["key"])) >= 0 && prop.indexOf('"key":' + JSON.stringify(id.key)) >= 0;
      });
      if (!isMoved) {
        return;
      }
      /* Not what is typed: a field is never drawn anew under the fingers. */
      if (id.key !== "q" && String(Array.isArray(value) ? value.join("/") : value) !== id.was) {
        touched[id.key] = id;
      }
      /* Two days of a picker; a switch of ranges is a choice like any other. */
      if (id.key === "range" && Array.isArray(value)) {
        if (value[0] && value[1] && value.join("/") !== id.was) {
          write(range(value.join("/"), value));
        }
      } else if (value !== null && value !== undefined) {
        /* Drawn anew it has the value it was drawn with; so it has when a choice is taken back. */
        if (String(value) === id.was && (!(id.key in pending) || pending[id.key] === String(value))) {
          delete pending[id.key];
          return;
        }
        pending[id.key] = String(value);
        var change = { page: null };
        change[id.key] = String(value) === id["default"] ? null : value;
        if (["version", "segment", "window"].indexOf(id.key) >= 0) {
          change.at = null;
        }
        write(change);
      }
    });
    return window.dash_clientside.no_update;
  }
  /* The page answered: a control that it did not draw anew shows what was chosen and taken back
     before the answer came, by Back for example. It shows again what it was drawn with. */
  function restore() {
    var asked = touched;
    touched = {};
    Object.keys(asked).forEach(function (key) {
      var id = asked[key], name = JSON.stringify(id, Object.keys(id).sort());
      if (document.getElementById(name)) {
        delete pending[key];
        set(id, { value: key === "range" && id.was.indexOf("/") > 0 ? id.was.split("/") : id.was });
      }
    });
  }
  window.addEventListener("popstate", function () { window.setTimeout(restore, 50); });
  function mark() {
    var here = window.location.pathname;
    document.querySelectorAll(".nav a").forEach(function (link) {
      var path = link.getAttribute("href") || "";
      var isHere = path === here || (path.length > 1 && here.indexOf(path + "/") === 0);
      if (isHere && !link.classList.contains("logo")) {
        link.setAttribute("aria-current", "page");
      } else {
        link.removeAttribute("aria-current");
      }
    });
  }
  function arrived(place) {
    if (place && place.title) {
      document.title = place.title;
      if (window.driftline.was !== undefined && window.driftline.was !== place.path) {
        window.scrollTo(0, 0);
      }
      window.driftline.was = place.path;
    }
    /* Not the dialogs: one may have been opened while the page was on its way. */
    closeMenus();
    mark();
    return window.dash_clientside.no_update;
  }

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

  /* ---- Dialogs, the drawer, menus. */
  /* `typed`: the letters that came while the search field was on its way; null once it is there. */
  var typed = null;
  function open(which) {
    set(which + "-dialog", { opened: true });
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
    search = window.setTimeout(function () { set("search-asked", { data: text || "" }); }, 150);
    return window.dash_clientside.no_update;
  }
  function close() {
    closeMenus();
    if (document.querySelector(".mantine-Modal-content")) {
      set("search-dialog", { opened: false });
      set("keys-dialog", { opened: false });
    }
  }
  function closeMenus() {
    document.body.classList.remove("nav-open");
    var burger = document.getElementById("burger");
    if (burger) {
      burger.setAttribute("aria-expanded", "false");
    }
    document.querySelectorAll("details.menu[open]").forEach(function (menu) { menu.open = false; });
  }
  function copy(text, button) {
    var done = function (words) {
      say(words);
      var shown = button && button.querySelector("span:not(.i)");
      var target = shown || button;
      if (target && !target.dataset.was) {
        target.dataset.was = target.lastChild.textContent;
        target.lastChild.textContent = words;
        window.setTimeout(function () {
          target.lastChild.textContent = target.dataset.was;
          delete target.dataset.was;
        }, 1500);
      }
    };
    if (!navigator.clipboard) {
      /* Only pages of https and of this machine may copy. */
      window.prompt("Copy this:", text);
      return;
    }
    navigator.clipboard.writeText(text).then(
      function () { done("Copied"); },
      function () { done("The browser forbids copying"); });
  }
  /* The whole state: what the page says it shows, with absolute times, else the address. */
  function view() {
    var full = document.querySelector("main [data-view]");
    return full ? new URL(full.dataset.view, window.location.href).href : window.location.href;
  }
  function picture(id, file) {
    var box = document.getElementById(id);
    var plot = box && (box.classList.contains("js-plotly-plot") ? box : box.querySelector(".js-plotly-plot"));
    if (!plot || !window.Plotly) {
      return;
    }
    var paper = getComputedStyle(document.documentElement).getPropertyValue("--surface").trim();
    var layout = Object.assign({}, plot.layout, { paper_bgcolor: paper, plot_bgcolor: paper });
    window.Plotly.downloadImage(
      { data: plot.data, layout: layout, config: { showSendToCloud: false } },
      { format: "png", scale: 2, width: plot.clientWidth, height: plot.clientHeight,
        filename: String(file).replace(/[^\w.-]+/g, "-").slice(0, 80) || "driftline" });
  }
  document.addEventListener("click", function (event) {
    var target = event.target;
    if (!(target instanceof Element)) {
      return;
    }
    var menu = target.closest("details.menu");
    document.querySelectorAll("details.menu[open]").forEach(function (other) {
      if (other !== menu) {
        other.open = false;
      }
    });
    if (target.closest(".search-results a")) {
      close();
    }
    var opener = target.closest("[data-open]");
    if (opener) {
      open(opener.dataset.open);
    }
    if (target.closest("#burger")) {
      var isOpen = document.body.classList.toggle("nav-open");
      document.getElementById("burger").setAttribute("aria-expanded", String(isOpen));
      if (isOpen) {
        document.querySelector(".nav a").focus();
      }
    } else if (!target.closest(".nav")) {
      document.body.classList.remove("nav-open");
    }
    if (target.closest("#pause")) {
      pause();
    }
    if (target.closest("[data-retry]")) {
      set("retry", { data: Date.now() });
    }
    var link = target.closest("[data-copy-link]");
    if (link) {
      copy(view(), link);
    }
    var text = target.closest("[data-copy]");
    if (text) {
      copy(text.dataset.copy, text);
    }
    var image = target.closest("[data-png]");
    if (image) {
      picture(image.dataset.png, image.dataset.file);
      if (menu) {
        menu.open = false;
      }
    }
    /* A link that a script drew: followed without loading the page. */
    var drawn = target.closest("a[data-go]");
    if (drawn && !event.defaultPrevented && event.button === 0 && !event.metaKey && !event.ctrlKey &&
        !event.shiftKey && !event.altKey) {
      event.preventDefault();
      go(drawn.getAttribute("href"));
    }
    var step = target.closest("[data-write]");
    if (step) {
      event.preventDefault();
      write(JSON.parse(step.dataset.write));
    }
  });

  /* ---- Keys. */
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
        close();
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
    if (document.querySelector(".mantine-Modal-content")) {
      walk(event);
      return;
    }
    if (Date.now() - gAt < 1500 && PLACES[event.key]) {
      gAt = 0;
      event.preventDefault();
      go(PLACES[event.key]);
      return;
    }
    gAt = event.key === "g" ? Date.now() : 0;
    if (event.key === "/") {
      event.preventDefault();
      open("search");
    } else if (event.key === "?") {
      open("keys");
    } else if (event.key === "p") {
      pause();
    } else if (event.key === "c") {
      copy(view(), null);
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

  /* ---- What the stylesheet needs to know of a page whose data stopped. */
  function stale() {
    var banner = document.querySelector("#banner [data-as-of]");
    document.body.classList.toggle("is-stale", !!banner);
  }
  var waiting = window.setInterval(function () {
    var main = document.getElementById("main");
    if (!main) {
      return;
    }
    window.clearInterval(waiting);
    new MutationObserver(function () {
      stale();
      refocus();
    }).observe(main, { childList: true, subtree: true });
    var models = document.getElementById("models");
    new MutationObserver(mark).observe(models, { childList: true });
    mark();
  }, TRIES_MS);

  window.driftline = {
    arrived: arrived, control: control, copy: copy, filled: filled, go: go, heard: heard,
    screen: screen, say: say, searching: searching, write: write,
  };
})();
