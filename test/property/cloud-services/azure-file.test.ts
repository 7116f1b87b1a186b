import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { type AzureDocument, readAzureDocument } from '#cloud/cli/azure/azure-document.js';
import { parseYaml } from '#cloud/cli/yaml-input.js';
import { deploymentCreate, endpointCreate } from '#cloud/http/schemas/endpoints.js';

const fixture = (name: string): string =>
  readFileSync(join(import.meta.dirname, '../../fixtures/azureml', name), 'utf8');
const read = (text: string): AzureDocument | undefined => readAzureDocument(parseYaml(text, 'f.yml'), 'f.yml');
const schemaOf = (kind: string): string =>
  `https://azuremlschemas.azureedge.net/latest/managedOnline${kind}.schema.json`;

function deploymentIn(text: string): Extract<AzureDocument, { kind: 'deployment' }>['deployment'] {
  const document = read(text);
  if (document?.kind !== 'deployment') throw new Error('it is no deployment');
  return document.deployment;
}

describe('a file of Azure ML', () => {
  it('of an endpoint is read as it is', () => {
    const endpoint = { name: 'fraud', auth: 'key', tags: { team: 'risk', year: '2026' } };
    expect(read(fixture('endpoint.yml'))).toMatchObject({ kind: 'endpoint', endpoint });
  });

  it('of a deployment says how many replicas there are, how they are asked, and which fields mean nothing here', () => {
    const deployment = deploymentIn(fixture('blue-deployment.yml'));
    expect(deployment).toMatchObject({
      ...{ name: 'blue', endpoint: 'fraud', model: { kind: 'elsewhere', text: '../model-1/model/' } },
      ...{ scale: { kind: 'fixed', replicas: 2 }, request: { timeoutMs: 3000, maxConcurrentPerReplica: 4 } },
      liveness: { initialDelaySeconds: 5, periodSeconds: 5, timeoutSeconds: 10, failureThreshold: 3 },
      readiness: { initialDelaySeconds: 10, periodSeconds: 10, failureThreshold: 30 },
    });
    expect(deployment.notes.map(({ field }) => field).sort()).toEqual([
      ...['app_insights_enabled', 'code_configuration', 'environment', 'instance_type'],
      'request_settings.max_queue_wait_ms',
    ]);
  });

  it('for Kubernetes is known without a schema, and scales by the share of what a replica works on at once', () => {
    const { model, scale, notes } = deploymentIn(fixture('kubernetes-blue.yml'));
    expect(model).toEqual({ kind: 'registered', name: 'digits', version: 3 });
    expect(scale).toMatchObject({ kind: 'auto', min: 1, max: 5, targetOutstanding: 7 });
    expect(notes.map(({ field }) => field)).toContain('scale_settings.polling_interval');
  });

  it('with a field that is misspelt names the right one', () => {
    const text = `${fixture('blue-deployment.yml')}\ninstance_cuont: 3\n`;
    expect(() => read(text)).toThrow('there is no field instance_cuont; did you mean instance_count?');
  });

  it('of any fields is a document that the control plane takes, or one clear error', () => {
    const word = fc.constantFrom(
      'blue',
      'key',
      'aml_token',
      'azureml:digits:3',
      'default',
      'target_utilization',
      'Ü',
      '',
    );
    const leaf = fc.oneof(word, fc.integer({ min: -1, max: 200_000 }), fc.boolean(), fc.constant(null), fc.double());
    const names = [
      ...['name', 'endpoint_name', 'auth_mode', 'traffic', 'mirror_traffic', 'model', 'instance_count', 'tags'],
      ...['scale_settings', 'request_settings', 'liveness_probe', 'description', 'environment', '__proto__'],
    ];
    const inner = ['type', 'min_instances', 'max_instances', 'request_timeout_ms', 'period', 'blue', 'path'];
    const mapping = fc.dictionary(fc.constantFrom(...inner), leaf, { maxKeys: 4 });
    const fields = fc.dictionary(fc.constantFrom(...names), fc.oneof(leaf, leaf, mapping), { maxKeys: 8 });
    let taken = 0;
    fc.assert(
      fc.property(fc.constantFrom('Endpoint', 'Deployment'), fields, fc.boolean(), (kind, given, isNamed) => {
        const value = { $schema: schemaOf(kind), ...given, ...(isNamed ? { name: 'blue' } : {}) };
        let document: AzureDocument | undefined;
        try {
          document = read(JSON.stringify(value));
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
          expect((error as AppError).message).toMatch(/^f\.yml: .{1,600}$/su);
          return;
        }
        taken += 1;
        if (document?.kind === 'endpoint') {
          const { name, auth, traffic = {} } = document.endpoint;
          endpointCreate.parse({ name, auth });
          for (const percent of Object.values(traffic)) expect(percent).toBeLessThanOrEqual(100);
        } else if (document?.kind === 'deployment') {
          const { name, scale, request, liveness, readiness } = document.deployment;
          deploymentCreate.parse({ name, image: 'digits:1', scale, request, liveness, readiness });
        }
      }),
      { numRuns: 300 },
    );
    expect(taken).toBeGreaterThan(10);
  });

  it('of any text is a document, something else, or one clear error', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (text) => {
        try {
          read(`$schema: ${schemaOf('Deployment')}\n${text}`);
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }),
      { numRuns: 100 },
    );
  });
});
