"""The page that asks for the token: plain HTML, one form, whole without a script.

It is shown to whoever knows nothing yet, so it tells nothing: no name of a model, no release, no
number. Its looks come along in the page; beside them it needs the fonts and the mark
(`ASSETS`), which are open to everybody.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import quote

PATH: Final = "/login"
LOGOUT: Final = "/logout"
_ASSETS: Final = Path(__file__).parent / "assets"
# What the page asks for before anybody has logged in.
ASSETS: Final = frozenset(
    ["/assets/mark.svg", *(f"/assets/fonts/{file.name}" for file in _ASSETS.glob("fonts/*.woff2"))]
)

# Before anything is painted: the scheme the user chose, or the system's.
SCHEME: Final = (
    "(function(){var s=null;try{s=localStorage.getItem('mantine-color-scheme-value')}catch(e){}"
    "if(s!=='light'&&s!=='dark'){s=matchMedia('(prefers-color-scheme: dark)').matches?'dark':"
    "'light'}document.documentElement.setAttribute('data-mantine-color-scheme',s)})()"
)
SCRIPT_HASH: Final = f"'sha256-{b64encode(sha256(SCHEME.encode()).digest()).decode()}'"

_STYLE: Final = """
*,*::before,*::after{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:24px 16px;
background:var(--bg);color:var(--text);font:400 13px/20px var(--font);
-webkit-font-smoothing:antialiased}
main{width:100%;max-width:360px;padding:24px;background:var(--surface);
border:1px solid var(--border);border-radius:8px}
.logo{display:flex;align-items:center;gap:10px;font:620 15px/22px var(--font);
letter-spacing:-.012em}
h1{margin:18px 0 0;font:620 20px/28px var(--font);letter-spacing:-.012em}
p{margin:2px 0 0;color:var(--text2)}
code{font:400 12px/19px var(--mono)}
form{margin:18px 0 0}
label{display:block;margin-bottom:4px;font-weight:600;font-size:12px;line-height:18px}
input{width:100%;height:36px;padding:0 12px;border:1px solid var(--line);border-radius:6px;
background:var(--surface);color:var(--text);font:400 13px/20px var(--mono)}
input[aria-invalid]{border-color:var(--crit-i)}
button{width:100%;height:36px;margin-top:14px;border:1px solid var(--accent);border-radius:6px;
background:var(--accent);color:var(--surface);font:600 13px/20px var(--font);cursor:pointer}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.said{margin:14px 0 0;padding:10px 14px;border:1px solid var(--border);border-radius:8px;
color:var(--text2);overflow-wrap:anywhere}
.said b{color:var(--text);font-weight:620}
.said.wrong{border-color:color-mix(in srgb,var(--crit-i) 55%,transparent);
background:var(--crit-tint)}
@media (max-width:767px){input,button{height:44px;font-size:16px}}
"""


def page(*, then: str = "/", wrong: str = "", said: str = "") -> str:
    """Return the page.

    Parameters
    ----------
    then
        The address that is opened after the login; a path of this site (see `local_path`).
    wrong
        Why the last try failed; "" at the first.
    said
        What else to say first, such as that the user is logged out.

    Examples
    --------
    >>> 'value="/models/a?b=1&amp;c=2"' in page(then="/models/a?b=1&c=2")
    True
    """
    note = ""
    if wrong:
        note = f'<p class="said wrong" id="wrong" role="alert"><b>{escape(wrong)}</b></p>'
    elif said:
        note = f'<p class="said" role="status">{escape(said)}</p>'
    invalid = ' aria-invalid="true" aria-describedby="wrong what"' if wrong else ""
    described = invalid or ' aria-describedby="what"'
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>Log in · Driftline</title>
<link rel="icon" type="image/svg+xml" href="/assets/mark.svg">
<script>{SCHEME}</script>
<style>{_TOKENS}{_STYLE}</style>
</head>
<body>
<main>
<div class="logo"><img src="/assets/mark.svg" alt="" width="22" height="22">Driftline</div>
<h1>Log in</h1>
<p id="what">With the token that this server was started with
(<code>DRIFTLINE_TOKEN</code>).</p>
{note}
<form method="post" action="{PATH}">
<input type="hidden" name="next" value="{escape(then)}">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus
 spellcheck="false" autocapitalize="none" maxlength="1000"{described}>
<button type="submit">Log in</button>
</form>
</main>
</body>
</html>
"""


def address(then: str) -> str:
    """Return the page's own address, which remembers where to go afterwards.

    Examples
    --------
    >>> address("/models/a?b=1"), address("/")
    ('/login?next=/models/a%3Fb%3D1', '/login')
    """
    return PATH if then == "/" else f"{PATH}?next={quote(then, safe='/')}"


def local_path(wanted: str) -> str:
    """Return `wanted` when it is a page of this site, else "/": nobody is led elsewhere.

    Examples
    --------
    >>> local_path("/models/a?b=c#d"), local_path("/models/\u00fc b")
    ('/models/a?b=c#d', '/models/%C3%BC%20b')
    >>> [local_path(w) for w in ("//evil.example", "https://evil.example", "/\\\\evil.example",
    ...     "/\\t/evil.example", "evil", "/login?next=/a", "/logout", "/api/v1/models", "")]
    ['/', '/', '/', '/', '/', '/', '/', '/', '/']
    """
    path = re.split(r"[?#]", wanted, maxsplit=1)[0]
    is_local = (
        wanted.startswith("/")
        and not wanted.startswith("//")
        # Browsers read a backslash as a slash, and pass over tabs and line ends.
        and not re.search(r"[\\\x00-\x1f\x7f]", wanted)
        and len(wanted) <= 4_000
        and path not in (PATH, LOGOUT)
        and not path.startswith(("/api/", "/_", "/assets/"))
    )
    return quote(wanted, safe="/?#[]@!$&'()*+,;=:%~-._") if is_local else "/"


def _tokens() -> str:
    """The colours and fonts; a browser that runs no script follows its system's scheme, too."""
    css = (_ASSETS / "00-tokens.css").read_text(encoding="utf-8")
    css = css.replace("url(fonts/", "url(/assets/fonts/")
    dark = re.search(r':root\[data-mantine-color-scheme="dark"\] (\{[^}]*\})', css)
    assert dark is not None, "the stylesheet has a dark scheme"
    without_script = f":root:not([data-mantine-color-scheme]) {dark[1]}"
    return f"{css}@media (prefers-color-scheme: dark) {{ {without_script} }}"


_TOKENS: Final = _tokens()
