"""Where JSON meets the types of calls; see `wire`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from chatzilla.core.call import Flags, Order, ParticipantId, Source, Wish
from chatzilla.core.call_events import (
    ANSWER_LIMIT,
    DESCRIPTION_LIMIT,
    CallChanged,
    CallEnded,
    Candidate,
    Description,
    MediaChanged,
    Moderated,
    Offered,
    ParticipantChanged,
    Publish,
    Quality,
    Ready,
    Restart,
    Signal,
    Signalled,
    Superseded,
    Track,
    Trickle,
)
from chatzilla.core.rooms import parse_room
from chatzilla.errors import BadRequest, NotFound, TooLong
from chatzilla.wire import Json, decode_object, encode_people, encode_person

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chatzilla.core.call import Call, Participant, Summary
    from chatzilla.core.call_entry import Entered
    from chatzilla.core.call_events import CallEvent, IceServers
    from chatzilla.core.rooms import RoomId

CANDIDATE_LIMIT: Final = 1024
TOKEN_LIMIT: Final = 256
"""Characters of an id or of a name of a line."""

TRACKS_AT_MOST: Final = 16
LAYERS: Final = 2
"""The largest number of a layer."""


class JoinCall(NamedTuple):
    """`join`: a room, what one wants to send, and the key of the participant that one was."""

    room: RoomId
    wish: Wish
    resume: str | None


class Moderate(NamedTuple):
    """`moderate`."""

    participant: ParticipantId
    order: Order
    source: Source | None


def decode_join(payload: object) -> JoinCall:
    """Read `{room, media?: {audio?, video?}, resume?}`.

    Raises:
        BadRequest: any of them is none.
    """
    fields = decode_object(payload)
    media = fields.get("media")
    if media is not None and not isinstance(media, dict):
        raise BadRequest("Say what you send: media is {audio, video}.")
    wish = Wish(_flag(media or {}, "audio") or False, _flag(media or {}, "video") or False)
    resume = fields.get("resume")
    if resume is not None and not isinstance(resume, str):
        raise BadRequest("The key by which one comes back is text.")
    return JoinCall(parse_room(fields.get("room")), wish, resume)


def decode_nothing(payload: object) -> None:
    """Read `{}`, or nothing."""
    if payload is not None:
        decode_object(payload)


def decode_state(payload: object) -> Flags:
    """Read `{audio?, video?, screen?, hand?}`.

    Raises:
        BadRequest: one of them is neither true nor false.
    """
    fields = decode_object(payload)
    return Flags(*(_flag(fields, name) for name in ("audio", "video", "screen", "hand")))


def decode_peek(payload: object) -> RoomId:
    """Read `{room}`.

    Raises:
        BadRequest: there is no room id.
    """
    return parse_room(decode_object(payload).get("room"))


def decode_signal(payload: object) -> Signal:
    """Read `{to, description?, candidate?, tracks?}`; one of `description` and `candidate` is there.

    Raises:
        BadRequest, TooLong: any of them is none.
    """
    fields = decode_object(payload)
    to = _participant(fields.get("to"))
    if ("description" in fields) == ("candidate" in fields):
        raise BadRequest("A signal has a description or a candidate.")
    if "candidate" in fields:
        candidate = fields["candidate"]
        return Signal(to, candidate=None if candidate is None else _candidate(candidate), ends=candidate is None)
    return Signal(to, description=_description(fields["description"]), tracks=_tracks(fields.get("tracks")))


def decode_publish(payload: object) -> Publish:
    """Read `{offer, tracks: [{mid, source}]}`.

    Raises:
        BadRequest, TooLong: either is missing or none.
    """
    fields = decode_object(payload)
    offer, tracks = _description(fields.get("offer")), _tracks(fields.get("tracks"))
    if offer.type != "offer" or tracks is None:
        raise BadRequest("Say what you send: an offer, and its tracks.")
    return Publish(offer, tracks)


def decode_candidate(payload: object) -> Trickle:
    """Read `{pc: "up" or "down", candidate}`.

    Raises:
        BadRequest: either is none.
    """
    fields = decode_object(payload)
    if fields.get("pc") not in ("up", "down") or "candidate" not in fields:
        raise BadRequest("Say for which connection, up or down, and which candidate.")
    candidate = fields["candidate"]
    return Trickle(fields["pc"] == "up", None if candidate is None else _candidate(candidate))


def decode_ready(payload: object) -> Ready:
    """Read `{}`, or `{seq, answer}`.

    Raises:
        BadRequest, TooLong: one of them is missing or none.
    """
    fields = decode_object(payload)
    if "seq" not in fields and "answer" not in fields:
        return Ready()
    answer, seq = _description(fields.get("answer"), ANSWER_LIMIT), fields.get("seq")
    if answer.type != "answer" or type(seq) is not int:
        raise BadRequest("Say what you answer, and to which offer.")
    return Ready(seq, answer)


def decode_quality(payload: object) -> Quality:
    """Read `{mid, layer}`.

    Raises:
        BadRequest: either is none.
    """
    fields = decode_object(payload)
    mid, layer = _short(fields.get("mid"), TOKEN_LIMIT), fields.get("layer")
    if mid is None or type(layer) is not int or not 0 <= layer <= LAYERS:
        raise BadRequest("Say which line, and in which layer from 0.")
    return Quality(mid, layer)


def decode_restart(payload: object) -> Restart:
    """Read `{}`."""
    decode_nothing(payload)
    return Restart()


def decode_moderate(payload: object) -> Moderate:
    """Read `{participant, action, source?}`.

    Raises:
        BadRequest: there is no such action or source.
    """
    fields = decode_object(payload)
    action, source = fields.get("action"), fields.get("source")
    if action not in [each.value for each in Order]:
        raise BadRequest("An action is mute, unpublish or kick.")
    return Moderate(_participant(fields.get("participant")), Order(action), None if source is None else _source(source))


def decode_lock(payload: object) -> bool:
    """Read `{locked}`.

    Raises:
        BadRequest: it is neither true nor false.
    """
    locked = _flag(decode_object(payload), "locked")
    if locked is None:
        raise BadRequest("Say whether to lock: locked is true or false.")
    return locked


def _flag(fields: Mapping[str, Any], name: str) -> bool | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name} is true or false.")
    return value


def _participant(raw: object) -> ParticipantId:
    if not isinstance(raw, str):
        raise BadRequest("A participant is named by an id.")
    if len(raw) > TOKEN_LIMIT:
        raise NotFound("There is nobody like that in this call.")
    return ParticipantId(raw)


def _source(raw: object) -> Source:
    if raw not in [each.value for each in Source]:
        raise BadRequest("A source is microphone, camera, screen or screen-audio.")
    return Source(raw)


def _description(raw: object, limit: int = DESCRIPTION_LIMIT) -> Description:
    if not isinstance(raw, dict) or raw.get("type") not in ("offer", "answer") or not isinstance(raw.get("sdp"), str):
        raise BadRequest("A description is {type: offer or answer, sdp}.")
    if len(raw["sdp"]) > limit:
        raise TooLong(f"A description may have {limit:,} characters at most.")
    return Description(raw["type"], raw["sdp"])


def _candidate(raw: object) -> Candidate:
    if not isinstance(raw, dict):
        raise BadRequest("A candidate is an object, or null after the last one.")
    line = raw.get("sdpMLineIndex")
    if line is not None and (type(line) is not int or not 0 <= line < 1000):
        raise BadRequest("This is no candidate.")
    text = _short(raw.get("candidate"), CANDIDATE_LIMIT)
    if text is None:
        raise BadRequest("This is no candidate.")
    return Candidate(
        text, _short(raw.get("sdpMid"), TOKEN_LIMIT), line, _short(raw.get("usernameFragment"), TOKEN_LIMIT)
    )


def _short(raw: object, limit: int) -> str | None:
    if raw is None:
        return None
    if not isinstance(raw, str) or len(raw) > limit or not (raw.isprintable() and raw.isascii()):
        raise BadRequest("This is no candidate.")
    return raw


def _tracks(raw: object) -> tuple[Track, ...] | None:
    if raw is None:
        return None
    if not isinstance(raw, list) or len(raw) > TRACKS_AT_MOST:
        raise BadRequest("Tracks are a list of {mid, source}.")
    tracks = []
    for each in raw:
        if not isinstance(each, dict) or not isinstance(each.get("mid"), str) or len(each["mid"]) > TOKEN_LIMIT:
            raise BadRequest("A track is {mid, source}.")
        tracks.append(Track(each["mid"], _source(each.get("source"))))
    return tuple(tracks)


def encode_participant(participant: Participant) -> Json:
    """Somebody in a call, as the others see them."""
    return {
        "id": participant.id,
        "account": participant.account.id,
        "name": participant.account.name,
        "verified": participant.account.verified,
        "role": participant.role.value,
        "audio": participant.audio,
        "video": participant.video,
        "screen": participant.screen,
        "hand": participant.hand,
        "state": "here" if participant.here else "reconnecting",
        "joined_at": participant.joined_at,
    }


def encode_entered(entered: Entered) -> Json:
    """The answer of `join`."""
    call, participant = entered.call, entered.participant
    limits = call.limits
    return {
        "participant": encode_participant(participant),
        "participants": [encode_participant(each) for each in entered.others],
        "call": _encode_call(call),
        "engine": call.media.name,
        "ice": encode_ice(entered.ice),
        "limits": {
            "people": limits.people,
            "publishers": limits.publishers,
            "video": [
                {
                    "people": picture.people,
                    "width": picture.width,
                    "height": picture.height,
                    "frame_rate": picture.frame_rate,
                    "bitrate": picture.bitrate,
                }
                for picture in limits.video
            ],
        },
        "grants": {
            "publish": participant.may_publish,
            "screen": participant.may_share_screen,
            "moderate": participant.may_moderate,
        },
        "resume": entered.resume,
    }


def _encode_call(call: Call) -> Json:
    return {"id": call.id, "since": call.since, "locked": call.locked}


def encode_ice(ice: IceServers) -> Json:
    """The answer of `ice`: `RTCIceServer`s (W3C WebRTC, 4.2.4)."""
    servers: list[Json] = []
    for server in ice.servers:
        encoded: Json = {"urls": list(server.urls)}
        if server.username is not None:
            encoded |= {"username": server.username, "credential": server.credential}
        servers.append(encoded)
    return {"servers": servers, "ends_at": ice.ends_at}


def encode_peek(call: Call | None) -> Json:
    """The answer of `peek`."""
    if call is None:
        return {"call": None}
    limits = call.limits
    return {
        "call": _encode_call(call)
        | {
            "people": [
                {"id": each.account.id, "name": each.account.name, "state": "here" if each.here else "reconnecting"}
                for each in call.participants.values()
            ],
            "publishers": call.publishers,
            "limits": {"people": limits.people, "publishers": limits.publishers},
        }
    }


def encode_summary(call: Summary) -> Json:
    """A call as its room is told of it."""
    return {"since": call.since, "locked": call.locked, "count": call.count, "people": encode_people(call.people)}


def encode_event(event: CallEvent) -> tuple[str, Json]:
    """What participants are told: the event's name and what it carries."""
    match event:
        case ParticipantChanged():
            changed: Json = {"change": event.change, "participant": encode_participant(event.participant)}
            return "participant", changed if event.reason is None else changed | {"reason": event.reason.value}
        case CallChanged():
            return "call", _encode_call(event.call)
        case Signalled():
            return "signal", {"from": event.sender} | _encode_signal(event.signal)
        case Moderated():
            moderated: Json = {"action": event.order.value, "by": encode_person(event.by.account)}
            return "moderated", moderated if event.source is None else moderated | {"source": event.source.value}
        case Offered():
            tracks = [
                {"mid": track.mid, "participant": track.participant, "source": track.source.value}
                for track in event.tracks
            ]
            offer = {"type": event.offer.type, "sdp": event.offer.sdp}
            return "offer", {"seq": event.seq, "offer": offer, "tracks": tracks}
        case MediaChanged():
            return "media", {"state": "reset" if event.reset else "lost"}
        case Superseded():
            return "superseded", {}
        case CallEnded():
            ended: Json = {"reason": event.reason.value}
            return "ended", ended if event.by is None else ended | {"by": encode_person(event.by.account)}


def _encode_signal(signal: Signal) -> Json:
    encoded: Json = {}
    if signal.description is not None:
        encoded["description"] = {"type": signal.description.type, "sdp": signal.description.sdp}
    if signal.tracks is not None:
        encoded["tracks"] = [{"mid": track.mid, "source": track.source.value} for track in signal.tracks]
    if signal.ends:
        encoded["candidate"] = None
    elif signal.candidate is not None:
        encoded["candidate"] = {
            "candidate": signal.candidate.candidate,
            "sdpMid": signal.candidate.mid,
            "sdpMLineIndex": signal.candidate.line,
            "usernameFragment": signal.candidate.fragment,
        }
    return encoded
