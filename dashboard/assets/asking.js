/* Attributes that pages use: data-refresh (seconds) and data-ask (a key of the address). */
"use strict";
(function () {
  var asked = 0, known = null;
  function shown(element) {
    return element.getClientRects().length > 0 || !element.closest("[hidden]:not([data-refresh])");
  }
  function paused() {
    var pause = document.getElementById("pause");
    return pause !== null && pause.getAttribute("aria-pressed") === "true";
  }
  /* A page that shows the wall clock asks again; not while nobody looks, nor while paused. */
  setInterval(function () {
    var wish = document.querySelector("[data-refresh]");
    if (!wish || document.hidden || paused() || !shown(wish) || !window.dash_clientside ||
        !window.dash_clientside.set_props || document.querySelector("[role=dialog], dialog[open]")) {
      return;
    }
    var now = Date.now();
    if (wish !== known) {
      /* It has just been filled. */
      known = wish;
      asked = now;
    }
    if (now - asked >= 1000 * Number(wish.getAttribute("data-refresh"))) {
      asked = now;
      window.dash_clientside.set_props("retry", { data: now });
    }
  }, 1000);

  function key(input) {
    var box = input.closest && input.closest("[data-ask]");
    return box ? box.getAttribute("data-ask") : null;
  }
  var waiting = null;
  /* A field that comes with its page shows what the address asks for. */
  setInterval(function () {
    document.querySelectorAll("[data-ask] input").forEach(function (input) {
      if (document.activeElement === input || waiting !== null) {
        return;
      }
      var wanted = new URLSearchParams(window.location.search).get(key(input)) || "";
      if (input.value !== wanted) {
        input.value = wanted;
      }
    });
  }, 300);
  document.addEventListener("input", function (event) {
    var name = key(event.target);
    if (!name) {
      return;
    }
    var text = event.target.value.trim(), place = window.location.pathname;
    clearTimeout(waiting);
    waiting = setTimeout(function () {
      waiting = null;
      if (window.location.pathname !== place) {
        return;
      }
      var query = new URLSearchParams(window.location.search);
      if (text) {
        query.set(name, text);
      } else {
        query.delete(name);
      }
      query.delete("page");
      var search = query.toString();
      window.history.replaceState(
        window.history.state, "", window.location.pathname + (search ? "?" + search : ""));
      window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    }, 250);
  });
})();
