from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "0006_verified_identities")]
    initial = False

    operations = [
        ops.AddField(model_name="Run", name="rested_at", field=fields.BigIntField(null=True)),
        ops.AddField(model_name="Run", name="waited_ms", field=fields.BigIntField(db_default=0)),
    ]
