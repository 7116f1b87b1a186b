/** The routes of layers as the client calls them: a part of {@link routes}. */
import { pageOf, pageQuery } from '#cloud/http/schemas/common.js';
import {
  desiredExplained,
  layerBody,
  layerCreate,
  layerDelete,
  layerOutcome,
  layerPatch,
} from '#cloud/http/schemas/layers.js';

const w = '/v1/workspaces/:workspace';

export const layerRoutes = {
  layerList: { method: 'GET', path: `${w}/layers`, query: pageQuery, response: pageOf(layerBody) },
  layerCreate: { method: 'POST', path: `${w}/layers`, body: layerCreate, response: layerOutcome },
  layerGet: { method: 'GET', path: `${w}/layers/:layer`, response: layerBody },
  layerPatch: { method: 'PATCH', path: `${w}/layers/:layer`, body: layerPatch, response: layerOutcome },
  layerDelete: { method: 'POST', path: `${w}/layers/:layer/delete`, body: layerDelete, response: layerOutcome },
  deviceDesired: { method: 'GET', path: `${w}/devices/:device/desired`, response: desiredExplained },
} as const;
