"""The struct-sequences that the MetaTrader5 package answers with: tuples whose places have names."""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, ClassVar


class StructSequence(tuple[Any, ...]):  # Any: each place has a type of its own
    """Base of the records. Like the real ones they have ``_asdict`` and no other method of a named tuple."""

    __slots__ = ()
    names: ClassVar[tuple[str, ...]] = ()
    n_fields: ClassVar[int] = 0
    n_sequence_fields: ClassVar[int] = 0
    n_unnamed_fields: ClassVar[int] = 0

    def __getattr__(self, name: str) -> Any:  # Any: see above
        try:
            return self[type(self).names.index(name)]
        except ValueError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    def _asdict(self) -> dict[str, Any]:  # Any: see above
        return dict(zip(type(self).names, self, strict=True))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())
        return f"{type(self).__name__}({values})"


def _declare(name: str, fields: str) -> type[StructSequence]:
    names = tuple(fields.split())
    body: dict[str, Any] = {  # Any: the body of a class
        "__slots__": (),
        "names": names,
        "n_fields": len(names),
        "n_sequence_fields": len(names),
        # A field called count or index hides the method of tuple, as in a real struct-sequence.
        **{field: property(itemgetter(place)) for place, field in enumerate(names)},
    }
    return type(name, (StructSequence,), body)


def fill(kind: type[StructSequence], values: Mapping[str, Any]) -> StructSequence:  # Any: each field has its type
    """Make a record: the fields given, text fields empty and all others zero.

    :raises KeyError: if a field is not one of the record's
    """
    unknown = set(values) - set(kind.names)
    if unknown:
        raise KeyError(f"{kind.__name__} has no field {min(unknown)}")
    return kind(values.get(name, "" if name in _TEXTS else 0) for name in kind.names)


_TEXTS = frozenset(
    (
        "basis",
        "category",
        "currency_base",
        "currency_profit",
        "currency_margin",
        "bank",
        "description",
        "exchange",
        "formula",
        "isin",
        "name",
        "page",
        "path",
        "company",
        "language",
        "data_path",
        "commondata_path",
        "server",
        "currency",
    )
)

Tick = _declare("Tick", "time bid ask last volume time_msc flags volume_real")
TerminalInfo = _declare(
    "TerminalInfo",
    "community_account community_connection connected dlls_allowed trade_allowed tradeapi_disabled email_enabled "
    "ftp_enabled notifications_enabled mqid build maxbars codepage ping_last community_balance retransmission company "
    "name language path data_path commondata_path",
)
AccountInfo = _declare(
    "AccountInfo",
    "login trade_mode leverage limit_orders margin_so_mode trade_allowed trade_expert margin_mode currency_digits "
    "fifo_close balance credit profit equity margin margin_free margin_level margin_so_call margin_so_so "
    "margin_initial margin_maintenance assets liabilities commission_blocked name server currency company",
)
SymbolInfo = _declare(
    "SymbolInfo",
    "custom chart_mode select visible session_deals session_buy_orders session_sell_orders volume volumehigh "
    "volumelow time digits spread spread_float ticks_bookdepth trade_calc_mode trade_mode start_time expiration_time "
    "trade_stops_level trade_freeze_level trade_exemode swap_mode swap_rollover3days margin_hedged_use_leg "
    "expiration_mode filling_mode order_mode order_gtc_mode option_mode option_right bid bidhigh bidlow ask askhigh "
    "asklow last lasthigh lastlow volume_real volumehigh_real volumelow_real option_strike point trade_tick_value "
    "trade_tick_value_profit trade_tick_value_loss trade_tick_size trade_contract_size trade_accrued_interest "
    "trade_face_value trade_liquidity_rate volume_min volume_max volume_step volume_limit swap_long swap_short "
    "margin_initial margin_maintenance session_volume session_turnover session_interest session_buy_orders_volume "
    "session_sell_orders_volume session_open session_close session_aw session_price_settlement "
    "session_price_limit_min session_price_limit_max margin_hedged price_change price_volatility price_theoretical "
    "price_greeks_delta price_greeks_theta price_greeks_gamma price_greeks_vega price_greeks_rho price_greeks_omega "
    "price_sensitivity basis category currency_base currency_profit currency_margin bank description exchange "
    "formula isin name page path",
)
