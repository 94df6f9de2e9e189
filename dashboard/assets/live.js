/* Following: new data, a server that goes or comes anew, what the server must know of the screen.

   The scripts of this folder share `window.driftline`; each adds what the others and Dash call. */
"use strict";
(function () {
  var HIDDEN_MS = 2147483000;
  var SHOWN_MS = 2000;
  /* New data waits until nobody has touched the page for so long, and never longer than that. */
  var CALM_MS = 1500, LONGEST_MS = 10000;
  var TRIES_MS = 250;
  var driftline = (window.driftline = window.driftline || {});
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

  /* ---- New data: a hidden tab and a paused page ask nothing, nor does a page under a dialog. */
  function isDialogOpen() {
    return !!document.querySelector(".mantine-Modal-content, dialog[open]");
  }
  function beat() {
    set("tick", { n_intervals: Date.now() % 1000000007 });
  }
  function follow() {
    if (document.hidden || paused || isOld || isOut) {
      set("tick", { disabled: true, interval: HIDDEN_MS });
    } else {
      set("tick", { disabled: false, interval: SHOWN_MS });
      beat();
    }
  }
  /* The page asks again when the heartbeat tells of a version that it does not show. Its first
     question waits for no heartbeat: until it is answered, nothing is offered. Nor is anything
     while somebody clicks and types: their questions go first, and bring the newest data anyway. */
  var newest = null, newestAt = 0, shownOf = null, offered = null, touchedAt = Date.now(), later = null;
  function isWanted() {
    return newest && !isDialogOpen() && shownOf !== null && shownOf !== newest && offered !== newest;
  }
  function offer() {
    window.clearTimeout(later);
    if (!isWanted()) {
      return;
    }
    var now = Date.now(), wait = Math.min(touchedAt + CALM_MS, newestAt + LONGEST_MS) - now;
    if (wait > 0) {
      later = window.setTimeout(offer, wait);
      return;
    }
    offered = newest;
    set("version", { data: newest });
  }
  function touched() {
    touchedAt = Date.now();
  }
  ["_dashprivate_pushstate", "popstate", "pointerdown", "keydown"].forEach(function (name) {
    window.addEventListener(name, touched, true);
  });
  function heard(pulse) {
    var version = (pulse && pulse.version) || null;
    newestAt = version === newest ? newestAt : Date.now();
    newest = version;
    if (shownOf === "") {
      offered = null; /* nothing could be read: asked again with every heartbeat until it is */
    }
    offer();
    return window.dash_clientside.no_update;
  }
  function filled(seen) {
    if (!seen) {
      return window.dash_clientside.no_update; /* the page's first question is on its way */
    }
    shownOf = seen.version || "";
    document.body.dataset.filled = shownOf;
    offer();
    document.dispatchEvent(new CustomEvent("driftline-filled"));
    window.setTimeout(driftline.restore, 50);
    return window.dash_clientside.no_update;
  }
  document.addEventListener("visibilitychange", function () {
    if (document.hidden) {
      left();
    }
    follow();
  });
  window.addEventListener("pagehide", left);
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
  var fetched = window.fetch, lostAt = null, isOld = false, isOut = false;
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
    if (!gone || isOld || isOut || isLost === (lostAt !== null)) {
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
  /* The session is over, or ended in another tab: what is shown stays until somebody logs in. */
  function out() {
    if (isOut || isOld || !document.getElementById("gone")) {
      return;
    }
    isOut = true;
    document.body.classList.add("is-gone");
    var place = window.location.pathname + window.location.search + window.location.hash;
    var link = document.createElement("a");
    link.className = "button";
    link.textContent = "Log in";
    link.href = "/login?next=" + encodeURIComponent(place);
    told("You are logged out.", "What is shown is the last answer before that.", link);
    set("tick", { disabled: true, interval: HIDDEN_MS });
  }
  window.fetch = function (resource) {
    var url = String(resource && resource.url ? resource.url : resource);
    var isOurs = url.indexOf("_dash-update-component") >= 0;
    return fetched.apply(this, arguments).then(
      function (answer) {
        if (isOurs && answer.status === 409) {
          old();
        } else if (isOurs && answer.status === 401) {
          out();
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
  var isZoneKnown = false, shows = null;
  function screen(zone) {
    var root = document.documentElement;
    var chosen = (isZoneKnown ? zone : kept("driftline-zone")) === "local" ? "local" : "utc";
    if (isZoneKnown && document.body.dataset.zone !== chosen) {
      window.setTimeout(beat, 50); /* the header's times follow */
    }
    isZoneKnown = true;
    document.body.dataset.zone = chosen;
    kept("driftline-zone", chosen);
    shows = {
      scheme: root.getAttribute("data-mantine-color-scheme"), narrow: narrow.matches,
      zone: chosen, tz: Intl.DateTimeFormat().resolvedOptions().timeZone, visit: visit,
    };
    return [shows, chosen === zone ? window.dash_clientside.no_update : chosen];
  }
  /* The next page is filled before it asks: the server must know by then how it will look. */
  function left() {
    var now = Date.now();
    kept("driftline-visit", String(now));
    if (shows) {
      document.cookie = "driftline-screen=" + encodeURIComponent(JSON.stringify(
        Object.assign({}, shows, { visit: now }))) + "; path=/; max-age=31536000; SameSite=Strict";
    }
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
      driftline.refocus();
    }).observe(main, { childList: true, subtree: true });
    var models = document.getElementById("models");
    new MutationObserver(driftline.mark).observe(models, { childList: true });
    driftline.mark();
  }, TRIES_MS);

  Object.assign(driftline, {
    filled: filled, heard: heard, kept: kept, pause: pause, say: say, screen: screen, set: set,
  });
})();
