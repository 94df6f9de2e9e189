/* What grids draw in their cells: elements made one by one, never markup. Values are plain data. */
"use strict";
(function () {
  var cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  var functions = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});
  function e() {
    return window.React.createElement.apply(null, arguments);
  }
  function icon(name, size) {
    return e("span", {
      className: "i i-" + name, "aria-hidden": "true",
      style: { width: (size || 14) + "px", height: (size || 14) + "px" },
    });
  }
  function anchor(href, children, className) {
    if (!href) {
      return e("span", { className: className }, children);
    }
    return e("a", { href: href, className: className, "data-go": "" }, children);
  }

  /* {title, href, tag, sub, number} : two lines. */
  cells.Two = function (props) {
    var v = props.value || {};
    return e("div", { className: "cell-two" },
      e("div", { className: "line" },
        v.number ? e("span", { className: "number num" }, v.number + " ") : null,
        anchor(v.href, v.title, "title"),
        v.tag ? e("span", { className: "tag" }, v.tag) : null,
        v.rest ? e("span", { className: "rest" }, " " + v.rest) : null),
      v.sub ? e("div", { className: "sub", title: v.sub }, v.sub) : null);
  };
  /* {icon, word, tone, sub} */
  cells.Status = function (props) {
    var v = props.value || {};
    return e("div", { className: "cell-two" },
      e("span", { className: "status " + (v.tone || "idle") }, icon(v.icon), e("span", null, v.word)),
      v.sub ? e("div", { className: "sub indent" }, v.sub) : null);
  };
  /* {values: [..], number, sub, words}: bars, the last in the colour of the window. */
  cells.Spark = function (props) {
    var v = props.value || {}, values = v.values || [];
    var most = Math.max.apply(null, [1].concat(values)), step = 112 / Math.max(1, values.length);
    var bars = values.map(function (n, at) {
      var height = n > 0 ? Math.max(1, (26 * n) / most) : 0;
      return e("rect", {
        key: at, x: at * step, y: 26 - height, width: Math.max(0.8, step - 1), height: height,
        fill: at === values.length - 1 ? "var(--cur)" : "var(--spark)",
      });
    });
    return e("div", { className: "cell-spark" },
      e("svg", { width: 112, height: 27, viewBox: "0 0 112 27", preserveAspectRatio: "none", role: "img", "aria-label": v.words || "" },
        e("line", { x1: 0, x2: 112, y1: 26.5, y2: 26.5, stroke: "var(--border)" }), bars),
      e("div", { className: "cell-two" },
        e("div", { className: "line num strong" }, v.number),
        v.sub ? e("div", { className: "sub num" }, v.sub) : null));
  };
  /* {now, of, values: [..], words}: k of n, and how many on each day. */
  cells.Strip = function (props) {
    var v = props.value || {}, values = v.values || [];
    if (v.text) {
      return e("span", { className: "sub" }, v.text);
    }
    var most = Math.max.apply(null, [3].concat(values)), step = 112 / Math.max(1, values.length);
    var bars = values.map(function (n, at) {
      var height = n > 0 ? Math.max(3, (10 * n) / most) : 1;
      return e("rect", {
        key: at, x: at * step, y: 11 - height, width: Math.max(0.8, step - 1), height: height,
        fill: n > 0 ? "var(--text)" : "var(--line)",
      });
    });
    return e("div", { className: "cell-two" },
      e("div", { className: "line num" }, e("b", null, v.now), " of " + v.of),
      v.weighted ? e("div", { className: "sub num", title: v.weight }, v.weighted) : null,
      e("svg", { width: 112, height: 12, role: "img", "aria-label": v.words || "" }, bars));
  };
  /* {name, said, ratio, words}: evidence over its limit; the limit is a quarter of the bar. */
  cells.Limit = function (props) {
    var v = props.value || {};
    if (v.ratio === null || v.ratio === undefined) {
      return e("span", { className: "sub" }, v.said || "–");
    }
    var width = Math.min(1, v.ratio / 4) * 100;
    return e("div", { className: "cell-two cell-limit" },
      e("div", { className: "line" }, anchor(v.href, v.name, "title"), e("span", { className: "rest" }, " " + v.said)),
      e("div", { className: "limit-bar", role: "img", "aria-label": v.words || "" },
        e("i", { style: { width: width + "%" }, className: v.ratio >= 1 ? "over" : "" }), e("b")));
  };

  functions.driftlineKey = function (params) {
    if (params.event && params.event.key === "Enter" && params.data && params.data.href) {
      window.driftline.go(params.data.href);
    }
  };
  functions.driftlineRow = function (params) {
    var event = params.event;
    var chosen = String(window.getSelection ? window.getSelection() : "");
    if (!params.data || !params.data.href || chosen || event.target.closest("a,button,input,[col-id=ag-Grid-SelectionColumn]")) {
      return;
    }
    if (event.metaKey || event.ctrlKey) {
      window.open(params.data.href, "_blank", "noopener");
      return;
    }
    window.driftline.go(params.data.href);
  };
  functions.driftline = {
    by: function (key) {
      return function (a, b) {
        var x = a ? a[key] : null, y = b ? b[key] : null;
        return x === y ? 0 : x === null || x === undefined ? -1 : y === null || y === undefined ? 1 : x < y ? -1 : 1;
      };
    },
  };
})();
