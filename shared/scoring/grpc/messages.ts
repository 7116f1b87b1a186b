/** The messages of `open-inference.proto` and `health.proto` beside this file, as far as they are served. */
import {
  blobs,
  choice,
  dimensions,
  elements,
  flag,
  integer,
  message,
  part,
  parts,
  table,
  text,
  texts,
} from './message-type.js';
import { wireTypes } from './wire-reader.js';

const bool = (number: number) => choice(number, 'bool', wireTypes.varint, (reader) => reader.bool());
const int64 = (number: number) => choice(number, 'int64', wireTypes.varint, (reader) => reader.bigInt64());
const uint64 = (number: number) => choice(number, 'uint64', wireTypes.varint, (reader) => reader.bigUint64());
const string = (number: number) => choice(number, 'string', wireTypes.bytes, (reader) => reader.text());
const double = (number: number) => choice(number, 'double', wireTypes.fixed64, (reader) => reader.double());

/** Asks for nothing in particular, or says nothing but that it was done. */
export const empty = message('', {});

export const serverLiveResponse = message('ServerLiveResponse', { live: flag(1) });
export const serverReadyResponse = message('ServerReadyResponse', { ready: flag(1) });
export const modelReadyResponse = message('ModelReadyResponse', { ready: flag(1) });

/** ModelReady, ModelMetadata, ModelConfig and ModelStatistics ask alike. */
export const modelRequest = message('ModelReadyRequest', { name: text(1), version: text(2) });

export const serverMetadataResponse = message('ServerMetadataResponse', {
  name: text(1),
  version: text(2),
  extensions: texts(3),
});

export const tensorMetadata = message('TensorMetadata', { name: text(1), datatype: text(2), shape: dimensions(3) });
export const modelMetadataResponse = message('ModelMetadataResponse', {
  name: text(1),
  versions: texts(2),
  platform: text(3),
  inputs: parts(4, tensorMetadata),
  outputs: parts(5, tensorMetadata),
});

export const inferParameter = message('InferParameter', {
  bool_param: bool(1),
  int64_param: int64(2),
  string_param: string(3),
  double_param: double(4),
  uint64_param: uint64(5),
});

export const inferTensorContents = message('InferTensorContents', {
  bool_contents: elements(1, 'bool'),
  int_contents: elements(2, 'int32'),
  int64_contents: elements(3, 'int64'),
  uint_contents: elements(4, 'uint32'),
  uint64_contents: elements(5, 'uint64'),
  fp32_contents: elements(6, 'float'),
  fp64_contents: elements(7, 'double'),
  bytes_contents: elements(8, 'bytes'),
});

export const inferInputTensor = message('InferInputTensor', {
  name: text(1),
  datatype: text(2),
  shape: dimensions(3),
  parameters: table(4, inferParameter),
  contents: part(5, inferTensorContents),
});
export const inferRequestedOutputTensor = message('InferRequestedOutputTensor', {
  name: text(1),
  parameters: table(2, inferParameter),
});
export const modelInferRequest = message('ModelInferRequest', {
  model_name: text(1),
  model_version: text(2),
  id: text(3),
  parameters: table(4, inferParameter),
  inputs: parts(5, inferInputTensor),
  outputs: parts(6, inferRequestedOutputTensor),
  raw_input_contents: blobs(7),
});

export const inferOutputTensor = message('InferOutputTensor', {
  name: text(1),
  datatype: text(2),
  shape: dimensions(3),
  parameters: table(4, inferParameter),
});
export const modelInferResponse = message('ModelInferResponse', {
  model_name: text(1),
  model_version: text(2),
  id: text(3),
  parameters: table(4, inferParameter),
  outputs: parts(5, inferOutputTensor),
  raw_output_contents: blobs(6),
});
export const modelStreamInferResponse = message('ModelStreamInferResponse', {
  error_message: text(1),
  infer_response: part(2, modelInferResponse),
});

export const modelInput = message('ModelInput', {
  name: text(1),
  data_type: integer(2, 'DataType'),
  dims: dimensions(4),
});
export const modelOutput = message('ModelOutput', {
  name: text(1),
  data_type: integer(2, 'DataType'),
  dims: dimensions(3),
});
export const modelConfig = message('ModelConfig', {
  name: text(1),
  platform: text(2),
  max_batch_size: integer(4, 'int32'),
  input: parts(5, modelInput),
  output: parts(6, modelOutput),
  backend: text(17),
});
export const modelConfigResponse = message('ModelConfigResponse', { config: part(1, modelConfig) });

export const statisticDuration = message('StatisticDuration', {
  count: integer(1, 'uint64'),
  ns: integer(2, 'uint64'),
});
export const inferStatistics = message('InferStatistics', {
  success: part(1, statisticDuration),
  fail: part(2, statisticDuration),
  queue: part(3, statisticDuration),
  compute_input: part(4, statisticDuration),
  compute_infer: part(5, statisticDuration),
  compute_output: part(6, statisticDuration),
  cache_hit: part(7, statisticDuration),
  cache_miss: part(8, statisticDuration),
});
export const inferBatchStatistics = message('InferBatchStatistics', {
  batch_size: integer(1, 'uint64'),
  compute_input: part(2, statisticDuration),
  compute_infer: part(3, statisticDuration),
  compute_output: part(4, statisticDuration),
});
export const modelStatistics = message('ModelStatistics', {
  name: text(1),
  version: text(2),
  last_inference: integer(3, 'uint64'),
  inference_count: integer(4, 'uint64'),
  execution_count: integer(5, 'uint64'),
  inference_stats: part(6, inferStatistics),
  batch_stats: parts(7, inferBatchStatistics),
});
export const modelStatisticsResponse = message('ModelStatisticsResponse', { model_stats: parts(1, modelStatistics) });

/** What a parameter holds matters to nobody: those that there are, are refused. */
export const modelRepositoryParameter = message('ModelRepositoryParameter', {
  bool_param: bool(1),
  int64_param: int64(2),
  string_param: string(3),
});
export const repositoryIndexRequest = message('RepositoryIndexRequest', { repository_name: text(1), ready: flag(2) });
export const modelIndex = message('ModelIndex', { name: text(1), version: text(2), state: text(3), reason: text(4) });
export const repositoryIndexResponse = message('RepositoryIndexResponse', { models: parts(1, modelIndex) });
export const repositoryModelRequest = message('RepositoryModelLoadRequest', {
  repository_name: text(1),
  model_name: text(2),
  parameters: table(3, modelRepositoryParameter),
});

export const healthCheckRequest = message('HealthCheckRequest', { service: text(1) });
export const healthCheckResponse = message('HealthCheckResponse', { status: integer(1, 'ServingStatus') });
