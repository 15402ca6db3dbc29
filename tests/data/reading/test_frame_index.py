from hypothesis import given
from hypothesis import strategies as st

from tubelet.data.reading.frame_index import Packet, packets_by_time, shown_frames

PACKETS = st.lists(
    st.builds(
        Packet,
        pts=st.none() | st.integers(-9, 9),
        dts=st.none(),
        is_keyframe=st.booleans(),
        is_hidden=st.booleans(),
        is_corrupt=st.just(False),
        size=st.just(1),
    ),
    max_size=30,
)


@given(PACKETS)
def test_decoding_starts_at_the_last_keyframe_before_a_frame_in_the_file_and_on_the_screen(
    packets: list[Packet],
):
    number = packets_by_time(packets)
    entries = {}
    for n, packet in enumerate(packets):
        before = [
            k
            for k, other in enumerate(packets[: n + 1])
            if other.is_keyframe and other.pts in number and (other.pts or 0) <= (packet.pts or 0)
        ]
        if before and packet.pts is not None and not packet.is_hidden:
            entries[n] = before[-1]
    rows = shown_frames(packets, number)
    assert {n: entry for _, n, entry in rows} == entries
    assert [pts for pts, _, _ in rows] == sorted(packets[n].pts or 0 for n in entries)
