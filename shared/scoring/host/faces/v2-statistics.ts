/** The statistics extension, in the JSON of the protocol's own server. */
import type { FastifyInstance } from 'fastify';
import type { StatisticsSnapshot } from '../../engine/statistics.js';
import { refuseOtherMethods } from '../allowed-methods.js';
import type { LoadedHostedModule } from '../hosted-module.js';
import type { ScoringHost } from '../scoring-host.js';

export function v2StatisticsRoutes(app: FastifyInstance, host: ScoringHost): void {
  const get = (url: string, choose: (model: string, version: string) => readonly LoadedHostedModule[]): void => {
    app.get(url, (request) => {
      const { model = '', version = '' } = request.params as { model?: string; version?: string };
      return { model_stats: choose(model, version).map(modelStatistics) };
    });
    refuseOtherMethods(app, url, ['GET', 'HEAD']);
  };
  get('/v2/models/stats', () => host.all);
  get('/v2/models/:model/stats', (model) => {
    // Says which models there are, where this is none.
    host.find(model);
    return host.versions(model);
  });
  get('/v2/models/:model/versions/:version/stats', (model, version) => [host.find(model, version)]);
}

function modelStatistics({ name, module, statistics }: LoadedHostedModule): object {
  return { name, version: String(module.version), ...statisticsJson(statistics.snapshot()) };
}

function statisticsJson(snapshot: StatisticsSnapshot): object {
  return {
    last_inference: snapshot.lastInferenceAtMs,
    inference_count: snapshot.rows,
    execution_count: snapshot.executions,
    inference_stats: {
      success: snapshot.success,
      fail: snapshot.fail,
      queue: snapshot.queue,
      compute_input: snapshot.computeInput,
      compute_infer: snapshot.computeInfer,
      compute_output: snapshot.computeOutput,
      cache_hit: snapshot.cacheHit,
      cache_miss: snapshot.cacheMiss,
    },
    batch_stats: snapshot.batches.map(({ rows, computeInput, computeInfer, computeOutput }) => ({
      batch_size: rows,
      compute_input: computeInput,
      compute_infer: computeInfer,
      compute_output: computeOutput,
    })),
  };
}
