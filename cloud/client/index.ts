/** What `import … from 'flotilla/client'` gives: docs/client.md. */
export { AppError, type ErrorCode } from '#shared/kernel/errors.js';
export type { Datatype } from '#shared/scoring/codec/tensor.js';
export type { ArrayOf, BinaryAnswer, BinaryTensor } from './binary-tensors.js';
export { type ConnectOptions, connectFlotilla } from './connect.js';
export { type ClientOptions, FlotillaClient, type LiveEvent } from './flotilla-client.js';
export type { ElementOf, InferAnswer, InferInput } from './infer-tensors.js';
export { routes } from './routes.js';
export { type ScoringCall, ScoringClient, type ScoringClientOptions, type Scored } from './scoring-client.js';
export { learnAuthority, type ServerAuthority } from './server-authority.js';
