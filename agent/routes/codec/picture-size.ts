/** What a picture is and how large, from its first bytes: asked before anything is decoded. Never throws. */
export interface PictureHead {
  readonly format: 'png' | 'jpeg';
  readonly width: number;
  readonly height: number;
}

/** @returns what is wrong where it is neither PNG nor JPEG */
export function readPictureHead(bytes: Uint8Array): PictureHead | string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (startsWith(bytes, pngSignature)) return readPng(view);
  if (startsWith(bytes, [0xff, 0xd8, 0xff])) return readJpeg(view);
  return bytes.length === 0 ? 'it is empty' : 'it is neither PNG nor JPEG';
}

const pngSignature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const headerChunk = 0x49484452;

function startsWith(bytes: Uint8Array, start: readonly number[]): boolean {
  return bytes.length >= start.length && start.every((byte, at) => bytes[at] === byte);
}

function readPng(view: DataView): PictureHead | string {
  if (view.byteLength < 33 || view.getUint32(12) !== headerChunk) return 'a PNG without a header';
  return sized('png', view.getUint32(16), view.getUint32(20));
}

/** Segments up to the frame header: SOF0 to SOF15 but for the tables among them. */
function readJpeg(view: DataView): PictureHead | string {
  let at = 2;
  while (at + 4 <= view.byteLength) {
    if (view.getUint8(at) !== 0xff) return 'a JPEG whose segments are damaged';
    const marker = view.getUint8(at + 1);
    // Fill bytes, and markers that stand alone.
    if (marker === 0xff) at += 1;
    else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) at += 2;
    else if (isFrame(marker)) {
      if (at + 9 > view.byteLength) break;
      return sized('jpeg', view.getUint16(at + 7), view.getUint16(at + 5));
    } else if (marker === 0xd9 || marker === 0xda) break;
    else at += 2 + Math.max(2, view.getUint16(at + 2));
  }
  return 'a JPEG that ends before it says how large it is';
}

function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
}

function sized(format: PictureHead['format'], width: number, height: number): PictureHead | string {
  if (width === 0 || height === 0) return 'a picture without pixels';
  return { format, width, height };
}
