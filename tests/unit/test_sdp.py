"""Session descriptions: what is seen in them, and what is refused because it could be seen in two ways."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatzilla.core.call_events import ANSWER_LIMIT, DESCRIPTION_LIMIT
from chatzilla.core.call_limits import PUBLISHERS_AT_MOST
from chatzilla.errors import BadRequest, ChatError, TooLong
from chatzilla.media import sdp
from chatzilla.media.sdp import MediaLine
from chatzilla.wire_calls import decode_publish, decode_ready
from tests.helpers.callers import description

HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"

CHROMIUM = """v=0\r
o=- 1495799811084970 1495799811084970 IN IP4 127.0.0.1\r
s=-\r
t=0 0\r
a=group:BUNDLE 0 1\r
a=extmap-allow-mixed\r
a=msid-semantic: WMS 4c1a\r
m=audio 56500 UDP/TLS/RTP/SAVPF 111 63 9\r
c=IN IP4 192.0.2.7\r
a=rtcp:9 IN IP4 0.0.0.0\r
a=candidate:1467250027 1 udp 2122260223 192.0.2.7 56500 typ host generation 0\r
a=ice-ufrag:ETEn\r
a=ice-pwd:OtSK0WpNtpUjkY4+86js7ZQl\r
a=ice-options:trickle\r
a=fingerprint:sha-256 19:E2:1C:3B:4B:9F:81:E6:B8:5C:F4:A5:A8:D8:73:04\r
a=setup:actpass\r
a=mid:0\r
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r
a=sendrecv\r
a=msid:4c1a 8f2e\r
a=rtcp-mux\r
a=rtpmap:111 opus/48000/2\r
a=fmtp:111 minptime=10;useinbandfec=1\r
a=ssrc:2002 cname:4TOk42mSjMCkVIa6\r
m=video 9 UDP/TLS/RTP/SAVPF 96 97\r
c=IN IP4 0.0.0.0\r
a=mid:1\r
a=recvonly\r
a=rtcp-mux\r
a=rtpmap:96 VP8/90000\r
"""


def test_lines_that_are_off_are_known_by_their_names() -> None:
    lines = ("audio sendonly", "video inactive", "video sendonly", "audio inactive")
    assert sdp.silent(description(*lines)["sdp"]) == {"1", "3"}
    assert sdp.silent(CHROMIUM) == set()


def test_what_a_browser_writes_is_understood() -> None:
    session = sdp.read(CHROMIUM)
    assert session.lines == (MediaLine("audio", "0", sends=True), MediaLine("video", "1", sends=False))
    assert session.candidates == 1
    assert (session.sending("audio"), session.sending("video")) == (1, 0)


@pytest.mark.parametrize(
    ("direction", "sends"), [("sendrecv", True), ("sendonly", True), ("recvonly", False), ("inactive", False)]
)
def test_each_direction_is_what_it_says(direction: str, sends: bool) -> None:
    assert [line.sends for line in sdp.read(description(f"video {direction}")["sdp"]).lines] == [sends]


def test_whoever_says_nothing_sends() -> None:
    """RFC 8866, 6.7: the default is sendrecv; a direction of the whole session holds for lines without their own."""
    assert sdp.read(HEAD + AUDIO).lines[0].sends
    assert not sdp.read(HEAD + "a=recvonly\r\n" + AUDIO).lines[0].sends
    assert sdp.read(HEAD + "a=recvonly\r\n" + AUDIO + "a=sendonly\r\n").lines[0].sends
    assert sdp.read(HEAD + AUDIO.replace(" 9 ", " 0 ")).lines[0].sends, "a port says nothing of it: it may be bundled"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "v=0",
        "v=1\r\n",
        HEAD + AUDIO.rstrip(),
        HEAD + AUDIO + "a=recvonly\r\na=sendonly\r\n",
        HEAD + AUDIO + "a=recvonly\r\na=recvonly\r\n",
        HEAD + "a=recvonly\r\na=inactive\r\n" + AUDIO,
        HEAD + AUDIO + "a=SendOnly\r\n",
        HEAD + AUDIO + "a= sendonly\r\n",
        HEAD + AUDIO + "a=sendonly:\r\n",
        HEAD + AUDIO + "a=sendonly \r\n",
        HEAD + AUDIO + "a=x\ra=sendonly\r\n",
        HEAD + AUDIO + "a=x\x0ba=sendonly\r\n",
        HEAD + AUDIO + " a=sendonly\r\n",
        HEAD + AUDIO + "\r\na=sendonly\r\n",
        HEAD + AUDIO + "A=sendonly\r\n",
        HEAD + AUDIO + "a=x-é\r\n",
        HEAD + AUDIO + "a=mid:1\r\n",
        HEAD + AUDIO + AUDIO,
        HEAD + AUDIO.replace("a=mid:0\r\n", ""),
        HEAD + AUDIO.replace("mid:0", "mid:"),
        HEAD + AUDIO.replace("mid:0", "mid:a b"),
        HEAD + AUDIO.replace("mid:0", f"mid:{'x' * 65}"),
        HEAD + AUDIO.replace("audio", "application"),
        HEAD + AUDIO.replace("audio", "Audio"),
        HEAD + AUDIO.replace("m=audio 9", "m=audio  9"),
        HEAD + AUDIO.replace("m=audio 9", "m=audio -9"),
        HEAD + "m=audio\r\na=mid:0\r\n",
    ],
)
def test_what_could_be_understood_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        sdp.read(text)


def test_there_is_an_end_to_everything() -> None:
    lines = [f"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:{number}\r\n" for number in range(17)]
    assert len(sdp.read(HEAD + "".join(lines[:16])).lines) == 16
    assert len(sdp.read(HEAD + "".join(lines), lines=17).lines) == 17
    candidate = "a=candidate:1 1 udp 2 192.0.2.7 9 typ host\r\n"
    assert sdp.read(HEAD + AUDIO + candidate * 50).candidates == 50
    for text in (HEAD + "".join(lines), HEAD + AUDIO + candidate * 51, HEAD + "a=x-padding:" + "x" * 65_536 + "\r\n"):
        with pytest.raises(TooLong):
            sdp.read(text)


@given(st.text(st.sampled_from("vmas=0: \r\n\tendrcvoliyxt19/"), max_size=200))
def test_anything_is_read_or_refused(rest: str) -> None:
    try:
        session = sdp.read(HEAD + AUDIO + rest)
    except ChatError:
        return
    said = [line for line in rest.replace("\r\n", "\n").split("\n") if line.strip().lower().startswith("a=send")]
    assert not said or any(line.sends for line in session.lines), "what says that it sends is seen to send"


IN_ANSWERS = """m=video 9 UDP/TLS/RTP/SAVPF 96 97\r
c=IN IP4 0.0.0.0\r
a=rtcp:9 IN IP4 0.0.0.0\r
a=ice-ufrag:VNV3\r
a=ice-pwd:k2YdV6NAlflZtdnlginHnGbn\r
a=ice-options:trickle\r
a=fingerprint:sha-256 92:C9:29:8F:49:CC:B1:E3:47:E9:B1:16:02:3A:CF:88:DE:0E:47:AA:ED:B6:8B:C5:57:91:4B:54:55:5F:D3:B1\r
a=setup:active\r
a=mid:{mid}\r
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r
a=extmap:13 urn:3gpp:video-orientation\r
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r
a=extmap:12 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\r
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r
a=recvonly\r
a=rtcp-mux\r
a=rtpmap:96 VP8/90000\r
a=rtcp-fb:96 goog-remb\r
a=rtcp-fb:96 transport-cc\r
a=rtcp-fb:96 ccm fir\r
a=rtcp-fb:96 nack\r
a=rtcp-fb:96 nack pli\r
a=rtpmap:97 rtx/90000\r
a=fmtp:97 apt=96\r
"""
"""What Chromium (156) answers to each picture that Janus offers; to a sound it is a third less."""


def test_a_browser_may_answer_to_everybody_who_may_send() -> None:
    """Fifty people with two pictures and two sounds each: more than any other description may have."""
    many = 4 * PUBLISHERS_AT_MOST
    text = HEAD + "".join(IN_ANSWERS.format(mid=mid) for mid in range(many))
    assert DESCRIPTION_LIMIT < len(text) < ANSWER_LIMIT
    ready = decode_ready({"seq": 1, "answer": {"type": "answer", "sdp": text}})
    assert ready.answer is not None
    session = sdp.read(ready.answer.sdp, lines=many, characters=ANSWER_LIMIT)
    assert (len(session.lines), any(line.sends for line in session.lines)) == (many, False)
    with pytest.raises(TooLong):
        decode_ready({"seq": 1, "answer": {"type": "answer", "sdp": text.ljust(ANSWER_LIMIT + 1)}})
    with pytest.raises(TooLong):
        decode_publish({"offer": {"type": "offer", "sdp": text}, "tracks": []})


def test_lines_say_how_much_may_be_sent_in_answer() -> None:
    """Of sound as a parameter of Opus, of pictures as a line's bandwidth, where it belongs (RFC 8866, 5)."""
    limited = sdp.with_limits(CHROMIUM, audio=24_000, video=300_000)
    assert (
        "\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1;maxaveragebitrate=24000\r\n" in limited
    )
    assert "\r\nc=IN IP4 0.0.0.0\r\nb=TIAS:400000\r\na=mid:1\r\n" in limited
    assert limited.replace(";maxaveragebitrate=24000", "").replace("b=TIAS:400000\r\n", "") == CHROMIUM
    assert sdp.with_limits(limited, audio=24_000, video=300_000) == limited
    assert sdp.with_limits(CHROMIUM, audio=None) == CHROMIUM
    assert "m=video 9" in sdp.with_limits(HEAD + AUDIO + "m=video 9 UDP/TLS/RTP/SAVPF 96", audio=None, video=64_000)


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ("", 24_000),
        ("a=fmtp:111 minptime=10\r\n", 24_000),
        ("a=fmtp:111 maxaveragebitrate=16000; minptime=10\r\n", 16_000),
        ("a=fmtp:111 MaxAverageBitrate=99000\r\n", 24_000),
        ("a=fmtp:111 maxaveragebitrate=99000\r\na=fmtp:111 maxaveragebitrate=16000\r\n", 16_000),
        ("a=fmtp:111 maxaveragebitrate=lots\r\n", 24_000),
        ("a=fmtp:11 maxaveragebitrate=16000\r\n", 24_000),
    ],
)
def test_whoever_asks_for_less_sound_has_their_way(theirs: str, said: int) -> None:
    """And who asks for more does not, wherever and however often it is said."""
    codec = "a=rtpmap:111 opus/48000/2\r\n"
    for text in (HEAD + AUDIO + codec + theirs, HEAD + AUDIO + theirs + codec):
        limited = sdp.with_limits(text, audio=24_000)
        assert re.findall(r"fmtp:111 .*maxaveragebitrate=(\w+)", limited, re.IGNORECASE) == [str(said)]


@pytest.mark.parametrize(
    ("theirs", "said"),
    [("b=AS:16\r\n", 16_000), ("b=TIAS:30000\r\nb=AS:16\r\n", 16_000), ("b=TIAS:9000000\r\n", 400_000), ("", 400_000)],
)
def test_whoever_asks_for_less_of_a_picture_has_their_way(theirs: str, said: int) -> None:
    line = AUDIO.replace("audio", "video")
    for text in (HEAD + line.replace("a=mid", f"{theirs}a=mid"), HEAD + line + theirs):
        assert re.findall(r"b=(?:TIAS|AS):(\d+)", sdp.with_limits(text, audio=None, video=300_000)) == [str(said)]


def test_a_description_is_a_version_of_a_session() -> None:
    """RFC 3264, 8: the id stays, the version counts; nothing else is another one."""
    second = sdp.with_origin(CHROMIUM, 7, 2)
    assert second.splitlines()[1] == "o=- 7 2 IN IP4 127.0.0.1"
    assert second.splitlines()[2:] == CHROMIUM.splitlines()[2:]
    assert sdp.with_origin(second, 1495799811084970, 1495799811084970) == CHROMIUM
