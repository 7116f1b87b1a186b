import * as z from 'zod';
import { toInstant } from '#shared/kernel/clock.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import type { AlertRepository } from '#cloud/alerts/alert-repository.js';
import { thresholdOf } from '#cloud/alerts/alert-rule.js';
import type { AlertRules } from '#cloud/alerts/alert-rules.js';
import type { Routes } from '../app.js';
import {
  alertQuery,
  alertRuleBody,
  type AlertStateBody,
  alertStateBody,
  alertTested,
  rulesApplied,
  rulesApply,
} from '../schemas/alerts.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';

export interface AlertRouteDeps {
  readonly alerts: AlertRepository;
  readonly rules: AlertRules;
}

const tags = ['alerts'];
const ruleParams = workspaceParams.extend({ rule: nameSchema });

export function alertRoutes({ alerts, rules }: AlertRouteDeps): Routes {
  return (app) => {
    app.get(
      '/v1/workspaces/:workspace/alerts',
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'What fires now, and what is about to, by rule and subject',
          params: workspaceParams,
          querystring: alertQuery,
          response: { 200: pageOf(alertStateBody) },
        },
      },
      async (request) => alertsIn(alerts, request.params.workspace, request.query),
    );
    app.get(
      '/v1/workspaces/:workspace/alert-rules',
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Rules, by name',
          params: workspaceParams,
          querystring: pageQuery,
          response: { 200: pageOf(alertRuleBody) },
        },
      },
      async (request) => {
        const { workspace } = request.params;
        const { items, ...rest } = await alerts.rulePage(workspace, request.query);
        const firing = await alerts.firing(workspace);
        return {
          ...rest,
          items: items.map(({ rule, createdAt, updatedAt }) => ({
            ...{ rule, createdAt, updatedAt, firing: firing.get(rule.name) ?? 0 },
          })),
        };
      },
    );
    app.post(
      '/v1/workspaces/:workspace/alert-rules',
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Put rules in force: new ones, and others under a name that there is; all of them or none',
          params: workspaceParams,
          body: rulesApply,
          response: { 200: rulesApplied },
        },
      },
      async (request) => {
        const applied = await rules.apply(request.params.workspace, request.body.rules);
        request.audited = {
          rules: applied
            .map(({ name, outcome }) => `${name} ${outcome}`)
            .join(', ')
            .slice(0, 1024),
        };
        return { rules: applied };
      },
    );
    app.delete(
      '/v1/workspaces/:workspace/alert-rules/:rule',
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Delete a rule; what fired by it is over',
          params: ruleParams,
          response: { 204: z.null() },
        },
      },
      async (request, reply) => {
        await rules.remove(request.params.workspace, request.params.rule);
        return reply.code(204).send(null);
      },
    );
    app.post(
      '/v1/workspaces/:workspace/alert-rules/:rule/test',
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Send a test notice to all destinations of a rule',
          params: ruleParams,
          response: { 202: alertTested },
        },
      },
      async (request, reply) => {
        const { workspace, rule: name } = request.params;
        const { id } = await rules.test(workspace, name);
        const stored = await alerts.rule(workspace, name);
        return reply.code(202).send({ id, destinations: [...(stored?.rule.notify ?? [])] });
      },
    );
  };
}

async function alertsIn(
  alerts: AlertRepository,
  workspace: string,
  { rule: only, ...page }: z.output<typeof alertQuery>,
): Promise<{ items: AlertStateBody[]; next?: string }> {
  const rules = new Map((await alerts.rules(workspace)).map(({ rule }) => [rule.name, rule]));
  const { items: states, ...rest } = await alerts.alertPage(workspace, page, only);
  const items = states.flatMap(({ rule: name, subject, state }) => {
    const rule = rules.get(name);
    if (rule === undefined || state.state === 'quiet') return [];
    const { state: now, incident, value, sinceMs } = state;
    const figures = { value, threshold: thresholdOf(rule), since: toInstant(sinceMs) };
    return [{ rule: name, severity: rule.severity, subject, state: now, incident, ...figures }];
  });
  return { ...rest, items };
}
