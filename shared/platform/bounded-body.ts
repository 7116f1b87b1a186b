/**
 * All of a body as it comes, unless it is larger than it may be: then nothing more of it is read or kept.
 *
 * @param refusal made when it is too large, and thrown
 */
export async function readBounded(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
  refusal: () => Error,
): Promise<Buffer<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of body) {
    size += piece.length;
    if (size > maxBytes) throw refusal();
    pieces.push(piece);
  }
  return Buffer.concat(pieces, size);
}
