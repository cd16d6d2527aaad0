import { client, unwrap, type Schemas } from '../api/client'

/** What the page needs to know before and after sign-in. The optional part is for signed-in people. */
export type App = Schemas['AppView'] & Partial<Schemas['SignedInAppView']>

export const loadApp = (): Promise<App> => unwrap(client.GET('/api/v1/app'))
