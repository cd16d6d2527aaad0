import { useQuery } from '@tanstack/react-query'
import { client, unwrap } from '../../api/client'
import { ErrorState } from '../../ui/ErrorState'
import { Page } from '../../ui/Page'
import { Skeleton } from '../../ui/Skeleton'
import { Tabs } from '../../ui/Tabs'
import { tools as words } from '../../words/en/tools'
import { Explain } from './Explain'
import { Policy } from './Policy'
import { ToolTable } from './ToolTable'

export default function Tools() {
  const tools = useQuery({ queryKey: ['tools'], queryFn: () => unwrap(client.GET('/api/v1/agent/tools')) })
  if (tools.isPending) return <Skeleton lines={8} />
  return (
    <Page title={words.title} lead={words.lead} width="wide">
      {tools.error ? (
        <ErrorState error={tools.error} onRetry={() => void tools.refetch()} />
      ) : (
        <Tabs
          label={words.tabs}
          tabs={[
            { id: 'tools', label: words.tools, content: <ToolTable tools={tools.data.tools} /> },
            { id: 'policy', label: words.policy, content: <Policy /> },
            { id: 'explain', label: words.explain, content: <Explain tools={tools.data.tools} /> },
          ]}
        />
      )}
    </Page>
  )
}
