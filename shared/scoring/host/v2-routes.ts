/** Open Inference Protocol V2 over HTTP. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { TensorSignature } from '../codec/tensor.js';
import { refuseOtherMethods } from './allowed-methods.js';
import type { LoadedHostedModule } from './hosted-module.js';
import type { ScoringHost } from './scoring-host.js';
import { answerScore } from './score-answer.js';
import { shadowRoutes } from '../traffic/shadow-report.js';

interface ModelParams {
  readonly model: string;
  readonly version?: string;
}

export function v2Routes(app: FastifyInstance, host: ScoringHost): void {
  const get = (url: string, handler: (request: FastifyRequest, reply: FastifyReply) => unknown): void => {
    app.get(url, handler);
    refuseOtherMethods(app, url, ['GET', 'HEAD']);
  };
  get('/v2', () => ({ name: 'flotilla', version: host.version, extensions: ['binary_tensor_data'] }));
  get('/v2/health/live', () => ({ live: true }));
  // A host listens only once its modules are loaded, and stops listening before it stops answering.
  get('/v2/health/ready', () => ({ ready: true }));
  shadowRoutes(app, host);
  for (const base of ['/v2/models/:model', '/v2/models/:model/versions/:version']) {
    get(base, (request) => metadata(find(host, request)));
    get(`${base}/ready`, (request) => ({ name: find(host, request).name, ready: true }));
    const infer = `${base}/infer`;
    app.post(infer, async (request, reply) => {
      const { model, version } = request.params as ModelParams;
      await answerScore(host, host.route(model, version, request.headers), 'v2', request, reply);
      return reply;
    });
    refuseOtherMethods(app, infer, ['POST']);
  }
}

function find(host: ScoringHost, request: FastifyRequest): LoadedHostedModule {
  const { model, version } = request.params as ModelParams;
  return host.find(model, version);
}

/** A module with user code has no tensors of its own to name: its script takes and gives what it likes. */
function metadata(module: LoadedHostedModule): object {
  return {
    name: module.name,
    versions: [String(module.module.version)],
    platform: module.script ? 'flotilla_node' : 'onnx_onnxv1',
    inputs: module.signature.inputs.map(describe),
    outputs: module.signature.outputs.map(describe),
  };
}

function describe({ name, datatype, shape }: TensorSignature): object {
  return { name, datatype, shape: shape.map((dimension) => (typeof dimension === 'string' ? -1 : dimension)) };
}
