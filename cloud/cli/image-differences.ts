/** Pure: in which files two images differ, for a person who is to look for the reason. */
import type { ImageBody } from '#cloud/http/schemas/images.js';
import type { BuiltImage } from '#shared/package/build-image.js';
import { mediaTypes } from '#shared/package/media-types.js';
import { printable, shortDigest } from './output.js';

export interface Difference {
  readonly path: string;
  readonly why: string;
}

interface Part {
  readonly path: string;
  readonly digest: string;
  readonly size: number;
}

/** The chunk map follows from the rest and is left out, unless nothing else differs. */
export function imageDifferences(
  registered: Pick<ImageBody, 'layers'>,
  built: Pick<BuiltImage, 'blobs'>,
): readonly Difference[] {
  const isFile = ({ mediaType }: { readonly mediaType: string }): boolean =>
    mediaType !== mediaTypes.manifest && mediaType !== mediaTypes.config;
  const theirs = new Map(
    registered.layers.filter(isFile).map((layer) => [labelOf(layer.mediaType, layer.path), layer]),
  );
  const ours = new Map(built.blobs.filter(isFile).map((blob) => [labelOf(blob.mediaType, blob.filepath ?? ''), blob]));
  const labels = [...new Set([...theirs.keys(), ...ours.keys()])].sort();
  const found = labels.flatMap((label): Difference[] => {
    const registeredPart = theirs.get(label);
    const builtPart = ours.get(label);
    const why = difference(registeredPart, builtPart);
    return why === undefined ? [] : [{ path: label, why }];
  });
  const telling = found.filter(({ path }) => path !== chunkMapLabel);
  if (telling.length > 0) return telling;
  return found.length > 0
    ? found
    : [{ path: 'manifest', why: 'the same files under another manifest or configuration' }];
}

const chunkMapLabel = 'chunk map';

function labelOf(mediaType: string, path: string): string {
  if (path !== '') return printable(path);
  if (mediaType === mediaTypes.chunkMap) return chunkMapLabel;
  return mediaType === mediaTypes.code ? 'golden vectors and script' : printable(mediaType);
}

function difference(theirs: Omit<Part, 'path'> | undefined, ours: Omit<Part, 'path'> | undefined): string | undefined {
  if (ours === undefined) return 'only in the registered image';
  if (theirs === undefined) return 'only in yours';
  if (theirs.digest === ours.digest) return undefined;
  const say = ({ digest, size }: Omit<Part, 'path'>): string => `${shortDigest(digest)}, ${String(size)} bytes`;
  return `registered ${say(theirs)}; yours ${say(ours)}`;
}
