/** Models of the Open Inference Protocol V2: what they are, whether they are ready, and inference. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { TensorSignature } from '../../codec/tensor.js';
import { refuseOtherMethods } from '../allowed-methods.js';
import type { LoadedHostedModule } from '../hosted-module.js';
import { answerScore } from '../score-answer.js';
import type { ScoringHost } from '../scoring-host.js';

interface ModelParams {
  readonly model: string;
  readonly version?: string;
}

export function v2ModelRoutes(app: FastifyInstance, host: ScoringHost): void {
  for (const base of ['/v2/models/:model', '/v2/models/:model/versions/:version']) {
    const get = (url: string, handler: (request: FastifyRequest, reply: FastifyReply) => unknown): void => {
      app.get(url, handler);
      refuseOtherMethods(app, url, ['GET', 'HEAD']);
    };
    get(base, (request) => metadata(host, request.params as ModelParams));
    get(`${base}/ready`, (request) => ({ name: find(host, request).name, ready: true }));
    app.post(`${base}/infer`, async (request, reply) => {
      const { model, version } = request.params as ModelParams;
      await answerScore(host, host.route(model, version, request.headers), 'v2', request, reply);
      return reply;
    });
    refuseOtherMethods(app, `${base}/infer`, ['POST']);
  }
}

function find(host: ScoringHost, request: FastifyRequest): LoadedHostedModule {
  const { model, version } = request.params as ModelParams;
  return host.find(model, version);
}

/** A module with user code has no tensors of its own to name: its script takes and gives what it likes. */
function metadata(host: ScoringHost, { model, version }: ModelParams): object {
  const module = host.find(model, version);
  const versions =
    version === undefined ? host.versions(model).map((one) => one.module.version) : [module.module.version];
  return {
    name: module.name,
    versions: versions.sort((a, b) => a - b).map(String),
    platform: module.script ? 'flotilla_node' : 'onnx_onnxv1',
    inputs: module.signature.inputs.map(describe),
    outputs: module.signature.outputs.map(describe),
  };
}

function describe({ name, datatype, shape }: TensorSignature): object {
  return { name, datatype, shape: shape.map((dimension) => (typeof dimension === 'string' ? -1 : dimension)) };
}
