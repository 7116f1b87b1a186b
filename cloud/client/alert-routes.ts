/** Alerts as the client calls for them: a part of {@link routes}. */
import * as z from 'zod';
import {
  alertQuery,
  alertRuleBody,
  alertStateBody,
  alertTested,
  rulesApplied,
  rulesApply,
} from '#cloud/http/schemas/alerts.js';
import { pageOf, pageQuery } from '#cloud/http/schemas/common.js';

const w = '/v1/workspaces/:workspace';
const none = z.unknown();

export const alertRoutes = {
  alerts: { method: 'GET', path: `${w}/alerts`, query: alertQuery, response: pageOf(alertStateBody) },
  alertRules: { method: 'GET', path: `${w}/alert-rules`, query: pageQuery, response: pageOf(alertRuleBody) },
  alertRulesApply: { method: 'POST', path: `${w}/alert-rules`, body: rulesApply, response: rulesApplied },
  alertRuleDelete: { method: 'DELETE', path: `${w}/alert-rules/:rule`, response: none },
  alertRuleTest: { method: 'POST', path: `${w}/alert-rules/:rule/test`, response: alertTested },
} as const;
