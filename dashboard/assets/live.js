/* A hidden tab asks nothing; a shown one asks at once. What the switches say is kept in the link. */
"use strict";
(function () {
  var HIDDEN_MS = 2147483000;
  var SHOWN_MS = 2000;

  function pause() {
    if (!window.dash_clientside || !window.dash_clientside.set_props) {
      return;
    }
    if (document.hidden) {
      window.dash_clientside.set_props("tick", { disabled: true, interval: HIDDEN_MS });
    } else {
      window.dash_clientside.set_props("tick", { disabled: false, interval: SHOWN_MS });
      window.dash_clientside.set_props("tick", { n_intervals: Date.now() % 1000000007 });
    }
  }
  document.addEventListener("visibilitychange", pause);

  /* Figures are drawn by the server for one scheme and one width of screen. */
  var narrow = window.matchMedia("(max-width: 767px)");

  function screen() {
    var root = document.documentElement;
    return { scheme: root.getAttribute("data-mantine-color-scheme"), narrow: narrow.matches };
  }
  function tell() {
    if (window.dash_clientside && window.dash_clientside.set_props) {
      window.dash_clientside.set_props("screen", { data: screen() });
    }
  }
  new MutationObserver(tell).observe(document.documentElement, {
    attributeFilter: ["data-mantine-color-scheme"],
  });
  narrow.addEventListener("change", tell);

  window.driftline = {
    screen: screen,
    /* The days shown: what the link says, else few on a narrow screen. */
    range: function () {
      var asked = new URLSearchParams(window.location.search).get("range");
      if (["28", "90", "all"].indexOf(asked) >= 0) {
        return asked;
      }
      return narrow.matches ? "28" : "90";
    },
    remember: function (key, value) {
      var url = new URL(window.location.href);
      url.searchParams.set(key, value);
      window.history.replaceState(window.history.state, "", url);
      return window.dash_clientside.no_update;
    },
  };
})();
