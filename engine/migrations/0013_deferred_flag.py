from tortoise import fields, migrations
from tortoise.migrations import operations as ops

FLAG_EXISTING = "UPDATE runs SET has_deferred = TRUE WHERE id IN (SELECT run_id FROM deferred_events)"


class Migration(migrations.Migration):
    dependencies = [("models", "0012_conversation_summaries")]
    initial = False

    operations = [
        ops.AddField(model_name="Run", name="has_deferred", field=fields.BooleanField(db_default=False)),
        ops.RunSQL(sql=FLAG_EXISTING, reverse_sql="SELECT 1"),
    ]
