/* Addresses: what is chosen stands in them, so every view is a link and Back goes back. */
"use strict";
(function () {
  var driftline = (window.driftline = window.driftline || {});

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
  function control() {
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
        driftline.set(id, { value: key === "range" && id.was.indexOf("/") > 0 ? id.was.split("/") : id.was });
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
      if (driftline.was !== undefined && driftline.was !== place.path) {
        window.scrollTo(0, 0);
      }
      driftline.was = place.path;
    }
    /* Not the dialogs: one may have been opened while the page was on its way. */
    driftline.closeMenus();
    mark();
    return window.dash_clientside.no_update;
  }
  document.addEventListener("click", function (event) {
    var target = event.target;
    if (!(target instanceof Element)) {
      return;
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

  Object.assign(driftline, {
    arrived: arrived, control: control, go: go, mark: mark, restore: restore, write: write,
  });
})();
