/** CNCF ModelPack and OCI media types (design section 5). */
export const mediaTypes = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  emptyConfig: 'application/vnd.oci.empty.v1+json',
  artifact: 'application/vnd.cncf.model.manifest.v1+json',
  config: 'application/vnd.cncf.model.config.v1+json',
  weight: 'application/vnd.cncf.model.weight.v1.raw',
  code: 'application/vnd.cncf.model.code.v1.tar',
  moduleManifest: 'application/vnd.cncf.model.weight.config.v1.raw',
  doc: 'application/vnd.cncf.model.doc.v1.raw',
  chunkMap: 'application/vnd.flotilla.chunk-map.v1+json',
  signature: 'application/vnd.flotilla.signature.v1+json',
} as const;

export const annotations = {
  filepath: 'org.cncf.model.filepath',
  title: 'org.opencontainers.image.title',
  version: 'org.opencontainers.image.version',
  refName: 'org.opencontainers.image.ref.name',
  flavor: 'flotilla.flavor',
  accelerator: 'flotilla.accelerator',
  precision: 'flotilla.precision',
  providers: 'flotilla.providers',
} as const;
