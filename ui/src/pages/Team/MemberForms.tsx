import { useQueryClient } from '@tanstack/react-query'
import { client, unwrap, type Schemas } from '../../api/client'
import { Dialog } from '../../ui/Dialog'
import { messageOf } from '../../ui/ErrorState'
import { Field } from '../../ui/Field'
import { ConfirmDialog, Form, textOf } from '../../ui/Form'
import { useToast } from '../../ui/Toast'
import { visible } from '../../ui/visible'
import { team as words } from '../../words/en/team'

type Member = Schemas['Member']
type MemberRole = Member['role']

export const nameOf = (member: Member): string => visible(member.name || member.email)

function useMembersChanged(): () => Promise<void> {
  const queries = useQueryClient()
  return () => queries.invalidateQueries({ queryKey: ['members'] })
}

const change = (member: Member, body: Schemas['MemberChange']): Promise<unknown> =>
  unwrap(client.PATCH('/api/v1/team/members/{member_id}', { params: { path: { member_id: member.id } }, body }))

/** Returns a function that changes a member, and shows how that went. */
export function useSaveMember(): (member: Member, body: Schemas['MemberChange']) => Promise<void> {
  const changed = useMembersChanged()
  const toast = useToast()
  return async (member, body) => {
    try {
      await change(member, body)
      toast(words.saved(nameOf(member)))
      await changed()
    } catch (error) {
      toast(messageOf(error), 'danger')
    }
  }
}

export function AddMember({ onClose }: { onClose: () => void }) {
  const changed = useMembersChanged()
  const add = async (form: FormData) => {
    const body = {
      email: textOf(form, 'email') ?? '',
      name: textOf(form, 'name'),
      password: String(form.get('password')),
      role: form.get('role') as MemberRole,
      kubernetes_groups: [],
    }
    await unwrap(client.POST('/api/v1/team/members', { body }))
    await changed()
    onClose()
  }
  return (
    <Dialog title={words.addTitle} onClose={onClose}>
      <Form submit={words.add} onSubmit={add} onCancel={onClose}>
        <p>{words.addText}</p>
        <Field label={words.email}>
          <input name="email" type="email" required autoFocus autoComplete="off" />
        </Field>
        <Field label={words.name}>
          <input name="name" maxLength={100} autoComplete="off" />
        </Field>
        <Field label={words.password} hint={words.passwordHint}>
          <input name="password" type="password" required minLength={12} autoComplete="new-password" />
        </Field>
        <RoleField start="member" />
      </Form>
    </Dialog>
  )
}

export function EditMember({ member, onClose }: { member: Member; onClose: () => void }) {
  const changed = useMembersChanged()
  const save = async (form: FormData) => {
    await change(member, {
      name: textOf(form, 'name'),
      role: form.get('role') as MemberRole,
      kubernetes_user: textOf(form, 'kubernetes_user'),
      kubernetes_groups: (textOf(form, 'kubernetes_groups') ?? '').split(',').map((group) => group.trim()).filter(Boolean),
    })
    await changed()
    onClose()
  }
  return (
    <Dialog title={words.editTitle(nameOf(member))} onClose={onClose}>
      <Form submit={words.edit} onSubmit={save} onCancel={onClose}>
        <Field label={words.name}>
          <input name="name" defaultValue={member.name ?? ''} maxLength={100} />
        </Field>
        <RoleField start={member.role} />
        <Field label={words.kubernetesUser}>
          <input name="kubernetes_user" defaultValue={member.kubernetes_user ?? ''} maxLength={256} />
        </Field>
        <Field label={words.kubernetesGroups} hint={words.groupsHint}>
          <input name="kubernetes_groups" defaultValue={member.kubernetes_groups.join(', ')} />
        </Field>
      </Form>
    </Dialog>
  )
}

function RoleField({ start }: { start: MemberRole }) {
  return (
    <Field label={words.role}>
      <select name="role" defaultValue={start}>
        {Object.entries(words.roles).map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </Field>
  )
}

export function RemoveMember({ member, onClose }: { member: Member; onClose: () => void }) {
  const changed = useMembersChanged()
  const remove = async () => {
    await unwrap(client.DELETE('/api/v1/team/members/{member_id}', { params: { path: { member_id: member.id } } }))
    await changed()
  }
  return (
    <ConfirmDialog title={words.removeTitle(nameOf(member))} confirm={words.remove} onConfirm={remove} onClose={onClose}>
      <p>{words.removeText}</p>
    </ConfirmDialog>
  )
}
