from tortoise import migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "0003_calls_ask")]
    initial = False

    operations = [
        ops.RenameField(model_name="Call", old_name="asks", new_name="needs_approval"),
        ops.RenameField(model_name="Call", old_name="shown", new_name="redacted_args"),
        ops.RenameField(model_name="SearchText", old_name="folded", new_name="text_casefolded"),
        ops.RenameField(model_name="Run", old_name="rest", new_name="rest_seq"),
        # An index names its columns in the migration state, so it is dropped and created around the rename.
        ops.RemoveIndex(model_name="Run", name="runs_by_state"),
        ops.RenameField(model_name="Run", old_name="touched_at", new_name="updated_at"),
        ops.AddIndex(model_name="Run", index=Index(fields=("state", "updated_at"), name="runs_by_state")),
        ops.RenameModel(old_name="CredentialNote", new_name="CredentialRecord"),
    ]
