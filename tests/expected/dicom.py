"""Small DICOM files written by pydicom, and their pixels according to pydicom: `python dicom.py` writes tests/expected/dicom.json.
Needs pydicom, numpy and Pillow; made with 3.0.2, 2.4.6 and 13.0.0.

For each file, the JSON has the file (zlib), its size, and red, green and blue of its pixels (base64). Grey values come from pydicom's
`apply_modality_lut` and `apply_windowing`, whose result is between `y_min` and `y_max`; the level is `floor(255 * part + 0.5)`, where `part`
is the place of the value between the two, and 255 minus that for MONOCHROME1. Values near a tie would depend on the order of operations, and
do not occur (asserted). `loose` marks JPEGs, which libjpeg-turbo and zune-jpeg decode a little differently.
"""

import base64
import io
import json
import pathlib
import warnings
import zlib

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_windowing
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

warnings.filterwarnings("ignore")
WIDTH, HEIGHT = 8, 6
CLASS = "1.2.840.10008.5.1.4.1.1.77.1.5.1"  # Ophthalmic Photography 8 Bit Image Storage
# Values that must not appear anywhere but in the files themselves.
SECRET = {
    "PatientName": "Zzqname^Erika",
    "PatientID": "ZZQID4711",
    "PatientBirthDate": "19621122",
    "StudyDate": "20230817",
    "StudyTime": "073159",
    "AccessionNumber": "ZZQACC99",
    "InstitutionName": "Zzqclinic",
    "ReferringPhysicianName": "Zzqdoctor^X",
    "StudyInstanceUID": "1.2.276.0.4711.88888888.1",
    "SeriesInstanceUID": "1.2.276.0.4711.88888888.2",
    "SOPInstanceUID": "1.2.276.0.4711.88888888.3",
    "DeviceSerialNumber": "ZZQSERIAL",
    "PatientComments": "Zzqcomment",
}
here = pathlib.Path(__file__).parent


def dataset(syntax, width, height, **values):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = CLASS
    ds.file_meta.MediaStorageSOPInstanceUID = SECRET["SOPInstanceUID"]
    ds.SOPClassUID = CLASS
    for name, value in SECRET.items():
        setattr(ds, name, value)
    # A sequence in a sequence, and a private element.
    inner = Dataset()
    inner.PatientID = SECRET["PatientID"]
    outer = Dataset()
    outer.OtherPatientIDsSequence = Sequence([inner])
    outer.Rows = 3
    ds.ReferencedImageSequence = Sequence([outer])
    ds["ReferencedImageSequence"].is_undefined_length = True
    outer.is_undefined_length_sequence_item = True
    block = ds.private_block(0x0029, "ZZQPRIVATE", create=True)
    block.add_new(1, "LO", "Zzqprivate")
    ds.Rows, ds.Columns = height, width
    ds.SamplesPerPixel = 1
    ds.PixelRepresentation = 0
    for name, value in values.items():
        setattr(ds, name, value)
    return ds


def written(ds, preamble=True, meta=True):
    out = io.BytesIO()
    if meta:
        ds.save_as(out, enforce_file_format=preamble)
    else:
        syntax = ds.file_meta.TransferSyntaxUID
        del ds.file_meta
        ds.save_as(out, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    return out.getvalue()


def eight_bits(part):
    scaled = part * 255
    assert (np.abs(scaled - np.floor(scaled) - 0.5) > 1e-6).all(), "a tie"
    return np.clip(np.floor(scaled + 0.5), 0, 255).astype(np.uint8)


def grey(ds, stored=None):
    """Grey levels by pydicom."""
    stored = pixel_array(ds, raw=True) if stored is None else stored
    values = apply_modality_lut(stored, ds).astype(np.float64)
    bits = ds.BitsStored
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if ds.PixelRepresentation else [0, 2**bits - 1], np.float64)
    if "RescaleSlope" in ds:
        ends = ends * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    if "WindowCenter" in ds:
        # Between its `y_min` and `y_max`, which are `ends`.
        part = (apply_windowing(values, ds) - ends[0]) / (ends[1] - ends[0])
    else:
        part = (values - ends.min()) / (ends.max() - ends.min())
    level = eight_bits(part)
    level = 255 - level if ds.PhotometricInterpretation == "MONOCHROME1" else level
    return np.stack([level] * 3, -1)


def colours(ds):
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        found = apply_color_lut(pixel_array(ds, raw=True), ds)
        return (found >> 8).astype(np.uint8) if found.dtype == np.uint16 and ds.RedPaletteColorLookupTableDescriptor[2] == 16 else found.astype(np.uint8)
    return pixel_array(ds)


cases = []


def of_palette(ds, values, tables):
    first = ds.RedPaletteColorLookupTableDescriptor[1]
    return np.stack([table[np.clip(values - first, 0, len(table) - 1)] >> 8 for table in tables], -1).astype(np.uint8)


def case(name, ds, rgb=None, loose=False, **how):
    data = written(ds, **how)
    if rgb is None:
        read = dcmread(io.BytesIO(data), force=True)
        if not hasattr(read.file_meta, "TransferSyntaxUID"):
            read.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if read.original_encoding[0] is False else ImplicitVRLittleEndian
        rgb = grey(read) if read.PhotometricInterpretation.startswith("MONO") else colours(read)
    height, width, _ = rgb.shape
    assert rgb.dtype == np.uint8
    text = lambda data: base64.b64encode(data).decode()
    cases.append({"name": name, "width": width, "height": height, "loose": loose, "rgb": text(rgb.tobytes()), "file": text(zlib.compress(data, 9))})


y, x = np.mgrid[:HEIGHT, :WIDTH]
ramp = (x + WIDTH * y) / (WIDTH * HEIGHT - 1)
rng = np.random.default_rng(4711)


def of_bits(stored, signed):
    low, high = (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)
    values = np.round(low + ramp * (high - low)).astype(np.int64)
    values[2] = rng.integers(low, high + 1, WIDTH)
    return values


def grey_dataset(syntax, photometric, allocated, stored, signed, values=None, **more):
    values = of_bits(stored, signed) if values is None else values
    ds = dataset(
        syntax, values.shape[1], values.shape[0], PhotometricInterpretation=photometric, BitsAllocated=allocated,
        BitsStored=stored, HighBit=stored - 1, PixelRepresentation=int(signed), **more,
    )
    kind = np.dtype(f"{'i' if signed else 'u'}{allocated // 8}")
    kind = kind.newbyteorder(">") if syntax == ExplicitVRBigEndian else kind
    pixels = values.astype(kind).tobytes()
    vr = "OW" if allocated == 16 or syntax == ImplicitVRLittleEndian else "OB"
    ds.add_new(0x7FE00010, vr, pixels + b"\0" * (len(pixels) % 2))
    return ds


PLAIN = ExplicitVRLittleEndian
for photometric in ["MONOCHROME1", "MONOCHROME2"]:
    for allocated, stored, signed in [
        (8, 8, False), (8, 8, True), (8, 6, False), (16, 8, False), (16, 10, False), (16, 12, False), (16, 12, True),
        (16, 16, False), (16, 16, True),
    ]:
        sign = "signed" if signed else "unsigned"
        ds = grey_dataset(PLAIN, photometric, allocated, stored, signed)
        case(f"{photometric} {stored} of {allocated} bits {sign}", ds)
for function in [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"]:
    for stored, signed, centre, width in [(8, False, 100.3, 120.7), (12, False, 1800.3, 900.7), (12, True, -200.3, 1500.7)]:
        for slope, intercept in [(None, None), (2.5, -1024.5), (-1.0, 4000)]:
            window = dict(WindowCenter=centre, WindowWidth=width)
            if function:
                window["VOILUTFunction"] = function
            if slope:
                window |= dict(RescaleSlope=slope, RescaleIntercept=intercept)
            ds = grey_dataset(PLAIN, "MONOCHROME2", 8 if stored == 8 else 16, stored, signed, **window)
            case(f"window {function} {stored} {signed} {slope}", ds)
case("first of two windows, inverted", grey_dataset(
    PLAIN, "MONOCHROME1", 16, 12, False, WindowCenter=[1000.3, 3000], WindowWidth=[500.7, 900], VOILUTFunction="LINEAR",
))
case("usual window", grey_dataset(PLAIN, "MONOCHROME2", 8, 8, False, WindowCenter=128, WindowWidth=256))
case("window of one value", grey_dataset(PLAIN, "MONOCHROME2", 8, 8, False, WindowCenter=128, WindowWidth=1))
case("negative slope without window", grey_dataset(PLAIN, "MONOCHROME2", 16, 12, False, RescaleSlope=-2, RescaleIntercept=7))
# pydicom takes the lowest bits whatever the highest one is; PS3.5, section 8.1.1 says what is meant.
shifted = of_bits(12, False)
ds = grey_dataset(PLAIN, "MONOCHROME2", 16, 12, False, shifted << 4 | 9)
ds.HighBit = 15
case("high bit 15 of 12 bits", ds, rgb=grey(ds, shifted))
case("overlay in the upper bits", grey_dataset(PLAIN, "MONOCHROME2", 16, 12, False, of_bits(12, False) | 0x5000))
odd = of_bits(8, False)[:5, :7]
case("odd number of bytes", grey_dataset(PLAIN, "MONOCHROME2", 8, 8, False, odd))

photo = np.stack([40 + 20 * x, 30 + 25 * y, 120 + 60 * np.sin(x / 3) * np.cos(y / 2)], -1).astype(np.uint8)
photo[1:3, 2:5] = [250, 3, 90]
noise = rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def colour_dataset(syntax, photometric, pixels, planar=0, vr="OB", **more):
    ds = dataset(
        syntax, pixels.shape[1], pixels.shape[0], PhotometricInterpretation=photometric, SamplesPerPixel=3,
        PlanarConfiguration=planar, BitsAllocated=8, BitsStored=8, HighBit=7, **more,
    )
    data = (pixels.transpose(2, 0, 1) if planar else pixels).tobytes()
    data += b"\0" * (len(data) % 2)
    if syntax == ExplicitVRBigEndian and vr == "OW":
        data = np.frombuffer(data, "u2").byteswap().tobytes()
    ds.add_new(0x7FE00010, vr, data)
    return ds


for planar in [0, 1]:
    for photometric, pixels in [("RGB", photo), ("YBR_FULL", noise)]:
        case(f"{photometric} planar {planar}", colour_dataset(PLAIN, photometric, pixels, planar))
half = dataset(
    PLAIN, WIDTH, HEIGHT, PhotometricInterpretation="YBR_FULL_422", SamplesPerPixel=3, PlanarConfiguration=0, BitsAllocated=8,
    BitsStored=8, HighBit=7,
)
half.add_new(0x7FE00010, "OB", rng.integers(0, 256, WIDTH * HEIGHT * 2).astype(np.uint8).tobytes())
case("YBR_FULL_422", half)


def palette_dataset(syntax, allocated, entries, first, bits, depth, values, signed=False):
    ds = grey_dataset(syntax, "PALETTE COLOR", allocated, allocated, signed, values)
    big = syntax == ExplicitVRBigEndian
    tables.clear()
    for channel in ["Red", "Green", "Blue"]:
        name = f"{channel}PaletteColorLookupTable"
        setattr(ds, f"{name}Descriptor", [entries % 65536, first, bits])
        ds[f"{name}Descriptor"].VR = "SS" if signed else "US"
        table = rng.integers(0, 1 << bits, entries)
        data = table.astype(">u2" if big else "<u2").tobytes() if depth == 16 else table.astype(np.uint8).tobytes()
        data += b"\0" * (len(data) % 2)
        if big and depth == 8:
            data = np.frombuffer(data, "u2").byteswap().tobytes()
        setattr(ds, f"{name}Data", data)
        ds[f"{name}Data"].VR = "OW"
        tables.append(table)
    return ds


# Those of the last file.
tables = []
index = rng.integers(0, 256, (HEIGHT, WIDTH))
case("palette of 256, 8 bits", palette_dataset(PLAIN, 8, 256, 0, 8, 8, index))
case("palette of 256, 16 bits", palette_dataset(PLAIN, 8, 256, 0, 16, 16, index))
case("palette of 100 from 40", palette_dataset(PLAIN, 8, 100, 40, 16, 16, index))
case("palette of 8 bits in words", palette_dataset(PLAIN, 8, 256, 0, 8, 16, index))
case("palette of 1000 for words", palette_dataset(PLAIN, 16, 1000, 300, 16, 16, rng.integers(0, 1500, (HEIGHT, WIDTH))))
case("palette of signed values", palette_dataset(PLAIN, 16, 500, -200, 16, 16, rng.integers(-300, 400, (HEIGHT, WIDTH)), True))

for name, syntax in [
    ("implicit", ImplicitVRLittleEndian), ("big-endian", ExplicitVRBigEndian), ("deflated", DeflatedExplicitVRLittleEndian),
]:
    case(f"{name} RGB", colour_dataset(syntax, "RGB", photo, vr="OW" if name == "implicit" else "OB"))
    case(f"{name} 12 bits", grey_dataset(
        syntax, "MONOCHROME2", 16, 12, True, WindowCenter=-200.3, WindowWidth=1500.7, RescaleSlope=1.5, RescaleIntercept=3,
    ))
    case(f"{name} 8 bits", grey_dataset(syntax, "MONOCHROME1", 8, 8, False))
    ds = palette_dataset(syntax, 8, 256, 0, 16, 16, index)
    # pydicom takes the palette of a big-endian file for a little-endian one.
    case(f"{name} palette", ds, rgb=of_palette(ds, index, tables))
case("big-endian RGB in words", colour_dataset(ExplicitVRBigEndian, "RGB", photo, vr="OW"), rgb=photo)
case("without preamble", colour_dataset(PLAIN, "RGB", photo), preamble=False)
case("without meta information, explicit", colour_dataset(PLAIN, "RGB", photo), meta=False, rgb=photo)
case("without meta information, implicit", colour_dataset(ImplicitVRLittleEndian, "RGB", photo, vr="OW"), meta=False, rgb=photo)


def compressed(ds):
    ds.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return ds


case("run lengths, grey", compressed(grey_dataset(PLAIN, "MONOCHROME2", 8, 8, False)))
case("run lengths, 16 bits", compressed(grey_dataset(PLAIN, "MONOCHROME1", 16, 12, True)))
case("run lengths, RGB", compressed(colour_dataset(PLAIN, "RGB", photo)))
case("run lengths, YBR_FULL", compressed(colour_dataset(PLAIN, "YBR_FULL", noise)))
case("run lengths, palette", compressed(palette_dataset(PLAIN, 8, 256, 0, 8, 8, index)))

# Large and smooth enough for what decoders may do differently.
y, x = np.mgrid[:24, :32]
smooth = np.stack([60 + 5 * x, 30 + 7 * y, 120 + 40 * np.sin(x / 9) * np.cos(y / 8)], -1).astype(np.uint8)


def jpeg_dataset(photometric, picture, fragments=1, unmarked=False, **how):
    out = io.BytesIO()
    picture.save(out, "jpeg", quality=95, **how)
    data = out.getvalue()
    # Without the JFIF segment.
    data = data[:2] + data[20:] if unmarked else data
    samples = len(picture.getbands())
    ds = dataset(
        JPEGBaseline8Bit, *picture.size, PhotometricInterpretation=photometric, SamplesPerPixel=samples, BitsAllocated=8,
        BitsStored=8, HighBit=7,
    )
    if samples > 1:
        ds.PlanarConfiguration = 0
    ds.PixelData = encapsulate([data], fragments_per_frame=fragments)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return ds


rgb = Image.fromarray(smooth)
turned = Image.Exif()
turned[0x0112] = 6
for name, ds in [
    ("YBR_FULL", jpeg_dataset("YBR_FULL", rgb, subsampling="4:4:4")),
    ("YBR_FULL_422", jpeg_dataset("YBR_FULL_422", rgb, subsampling="4:2:2")),
    ("in three fragments", jpeg_dataset("YBR_FULL_422", rgb, fragments=3, subsampling="4:2:2")),
    ("with an orientation that no DICOM viewer applies", jpeg_dataset("YBR_FULL", rgb, subsampling="4:4:4", exif=turned)),
    ("RGB without a marker", jpeg_dataset("RGB", Image.merge("YCbCr", rgb.split()), unmarked=True, subsampling="4:4:4")),
    ("RGB that JFIF makes luma and chroma", jpeg_dataset("RGB", rgb, subsampling="4:4:4")),
    ("YBR_FULL without a marker", jpeg_dataset("YBR_FULL", rgb, unmarked=True, subsampling="4:4:4")),
    ("RGB with a marker", jpeg_dataset("RGB", rgb, keep_rgb=True)),
    ("grey", jpeg_dataset("MONOCHROME2", rgb.convert("L"))),
    ("grey, inverted", jpeg_dataset("MONOCHROME1", rgb.convert("L"))),
]:
    case(f"JPEG {name}", ds, loose=True)

(here / "dicom.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
print(len(cases), "files,", (here / "dicom.json").stat().st_size, "bytes")
# Luma and chroma: macula rounds exactly; pydicom computes with 32-bit floats.
