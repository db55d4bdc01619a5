"""Certificates: appended, never changed. Sole writer of their table."""

from dataclasses import dataclass

from django.db import connection
from django.db.models import Max, Min

from quality.models import Certificate

_LOCK = 0x7469636B03


@dataclass(frozen=True, slots=True)
class Known:
    """The newest certificate of a period: its number, revision, and the signed document."""

    number: int
    revision: int
    from_msc: int
    document: str


@dataclass(frozen=True, slots=True)
class New:
    """A certificate to be appended; times in UTC milliseconds."""

    number: int
    revision: int
    from_msc: int
    to_msc: int
    is_whole: bool
    through_batch_id: int
    document: str
    sha256: str


def lock(*, feed_id: int) -> bool:
    """Let nobody else append certificates of a feed until the caller's transaction ends; False if somebody does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK << 16 | feed_id])
        return bool(cursor.fetchone()[0])


@dataclass(frozen=True, slots=True)
class Last:
    """A feed's newest certificate, which the next one refers to, and up to when the feed is certified."""

    number: int
    sha256: str
    through_batch_id: int
    certified_msc: int


def last(*, feed_id: int) -> Last | None:
    """Return a feed's newest certificate, None where it has none."""
    rows = Certificate.objects.filter(feed_id=feed_id)
    newest_row = rows.order_by("-number").first()
    if newest_row is None:
        return None
    certified_msc = rows.aggregate(to_msc=Max("to_msc"))["to_msc"]
    return Last(newest_row.number, newest_row.sha256, newest_row.through_batch_id, certified_msc)


def certified_msc(*, feed_id: int) -> int | None:
    """Return the end of the newest period of a feed that has a certificate, None where none has."""
    return Certificate.objects.filter(feed_id=feed_id).aggregate(to_msc=Max("to_msc"))["to_msc"]


def first_msc(*, feed_id: int) -> int | None:
    """Return the begin of the first period of a feed that has a certificate, None where none has."""
    return Certificate.objects.filter(feed_id=feed_id).aggregate(from_msc=Min("from_msc"))["from_msc"]


def exists(*, feed_id: int, from_msc: int) -> bool:
    """Return whether a feed has a certificate of the period that begins at ``from_msc``."""
    return Certificate.objects.filter(feed_id=feed_id, from_msc=from_msc).exists()


def newest(*, feed_id: int, from_msc: int, to_msc: int) -> dict[int, Known]:
    """Return the newest revisions of a feed's periods that begin within ``[from_msc, to_msc)``, by their begin."""
    rows = (
        Certificate.objects.filter(feed_id=feed_id, from_msc__gte=from_msc, from_msc__lt=to_msc)
        .order_by("from_msc", "-revision")
        .distinct("from_msc")
    )
    return {row.from_msc: Known(row.number, row.revision, row.from_msc, row.document) for row in rows}


def not_whole(*, feed_id: int, from_msc: int, most: int) -> list[int]:
    """Return where the newest periods from a time on begin whose newest certificate does not call them whole."""
    rows = Certificate.objects.filter(feed_id=feed_id, from_msc__gte=from_msc)
    newest_rows = rows.order_by("-from_msc", "-revision").distinct("from_msc").values_list("from_msc", "is_whole")
    return [begin_msc for begin_msc, is_whole in newest_rows if not is_whole][:most]


@dataclass(frozen=True, slots=True)
class Series:
    """A piece of a feed's chain, in the order in which it was made; ``not_whole`` counts the hours of the period whose
    newest certificate does not call them whole, ``own`` the certificates of the period."""

    documents: list[str]
    own: int
    not_whole: int


def of_period(*, feed_id: int, from_msc: int, to_msc: int) -> Series:
    """Return a feed's certificates of the periods that lie within ``[from_msc, to_msc)``, UTC.

    With those of other hours that were made between them: without these nobody could tell that none was cut out.
    """
    rows = Certificate.objects.filter(feed_id=feed_id, from_msc__gte=from_msc, to_msc__lte=to_msc)
    is_whole: dict[int, bool] = {}
    numbers: list[int] = []
    for begin_msc, whole, number in rows.order_by("number").values_list("from_msc", "is_whole", "number").iterator():
        numbers.append(number)
        # Of the same hour, the later one replaces the earlier.
        is_whole[begin_msc] = whole
    if not numbers:
        return Series([], 0, 0)
    piece = Certificate.objects.filter(feed_id=feed_id, number__gte=numbers[0], number__lte=numbers[-1])
    documents = list(piece.order_by("number").values_list("document", flat=True))
    return Series(documents, len(numbers), sum(not whole for whole in is_whole.values()))


@dataclass(frozen=True, slots=True)
class Listed:
    """A certificate with its id; times in UTC milliseconds."""

    id: int
    feed_id: int
    number: int
    revision: int
    from_msc: int
    to_msc: int
    is_whole: bool
    sha256: str
    document: str


def listed(*, feed_ids: list[int], from_msc: int, to_msc: int, after: int, most: int) -> list[Listed]:
    """Return certificates of periods within ``[from_msc, to_msc)``, UTC, in the order in which they were made."""
    rows = Certificate.objects.filter(feed_id__in=feed_ids, from_msc__gte=from_msc, to_msc__lte=to_msc, pk__gt=after)
    names = ("id", "feed_id", "number", "revision", "from_msc", "to_msc", "is_whole", "sha256", "document")
    return [Listed(*row) for row in rows.order_by("pk").values_list(*names)[:most]]


def document(*, certificate_id: int) -> str | None:
    """Return a signed document by its id, None where there is none."""
    return Certificate.objects.filter(pk=certificate_id).values_list("document", flat=True).first()


def append(rows: list[New], *, feed_id: int) -> None:
    """Append certificates in the caller's transaction.

    :raises django.db.IntegrityError: if another has appended one of the same number
    """
    Certificate.objects.bulk_create(
        Certificate(
            feed_id=feed_id,
            number=row.number,
            revision=row.revision,
            from_msc=row.from_msc,
            to_msc=row.to_msc,
            is_whole=row.is_whole,
            through_batch_id=row.through_batch_id,
            document=row.document,
            sha256=row.sha256,
        )
        for row in rows
    )
