"""EDF and BDF files written by hand, with signals of different rates, annotations and gaps."""

import numpy as np

EDF_GAIN = 0.1


def write_edf(path, signals, *, bdf=False, duration=1.0, annotations=None, onsets=None):
    """Write digital values as an EDF, EDF+ or BDF file.

    Parameters
    ----------
    path : Path
    signals : dict
        Label: (digital values, samples in a data record). All end after the same record.
    bdf : bool
        24 bit and a gain of 1 uV, instead of 16 bit and a gain of 0.1 uV.
    duration : float
        Of a data record in seconds.
    annotations : list of (onset, duration, text) or None
        Makes it an EDF+ file.
    onsets : list of float or None
        Of the data records, in seconds. Makes it an EDF+ file that is discontinuous.
    """
    width, top, gain = (3, 2**23, 1.0) if bdf else (2, 2**15, EDF_GAIN)
    n_records = min(len(values) // n for values, n in signals.values())
    fields = [
        (label, "", "uV", -top * gain, (top - 1) * gain, -top, top - 1, "", n, "")
        for label, (_, n) in signals.items()
    ]
    records = [
        b"".join(
            np.asarray(values[i * n : (i + 1) * n], "<i4").view(np.uint8).reshape(n, 4)[:, :width]
            .tobytes()
            for values, n in signals.values()
        )
        for i in range(n_records)
    ]  # fmt: skip
    if annotations is not None or onsets is not None:
        n = 60
        fields.append(("EDF Annotations", "", "", -1, 1, -top, top - 1, "", n, ""))
        starts = onsets or [i * duration for i in range(n_records)]
        stamps = [f"+{start:g}\x14\x14\x00".encode() for start in starts[:n_records]]
        for onset, length, text in annotations or []:
            stamps[0] += f"+{onset:g}\x15{length:g}\x14{text}\x14\x00".encode()
        records = [
            record + stamp.ljust(n * width, b"\x00")
            for record, stamp in zip(records, stamps, strict=True)
        ]
    kind = "EDF+D" if onsets else "EDF+C" if annotations is not None else ""
    start = b"\xffBIOSEMI" if bdf else b"0".ljust(8)
    head = [("X X X X", 80), ("Startdate X X X X", 80), ("01.01.01", 8), ("00.00.00", 8)]
    head += [(256 * (len(fields) + 1), 8), (kind, 44), (n_records, 8), (f"{duration:g}", 8)]
    head += [(len(fields), 4)]
    widths = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
    head += [
        (value if isinstance(value, str) else f"{value:g}" if value % 1 else f"{value:.0f}", width)
        for column, width in zip(zip(*fields, strict=True), widths, strict=True)
        for value in column
    ]
    text = "".join(str(value).ljust(width)[:width] for value, width in head)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(start + text.encode("latin-1") + b"".join(records))
    return path
